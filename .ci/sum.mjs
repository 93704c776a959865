// Sums vitest's JSON report. `sum.mjs REPORT FAILED_STEPS` prints the last line of .ci/run;
// `sum.mjs --explains-failure REPORT` ends with 0 where the report itself holds a failure.
import { existsSync, readFileSync } from 'node:fs';

function sum(file) {
  if (!existsSync(file)) return { passed: 0, failed: 0, skipped: 0 };
  const report = JSON.parse(readFileSync(file, 'utf8'));
  // A file that could not even be loaded has no failed test.
  const broken = report.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

if (process.argv[2] === '--explains-failure') {
  process.exitCode = sum(process.argv[3]).failed > 0 ? 0 : 1;
} else {
  const { passed, failed, skipped } = sum(process.argv[2]);
  const allFailed = failed + Number(process.argv[3]);
  console.log(`${passed} passed, ${allFailed} failed, ${skipped} skipped`);
  process.exitCode = allFailed > 0 || passed === 0 ? 1 : 0;
}

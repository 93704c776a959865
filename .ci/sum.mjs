// Sums vitest's JSON reports. `sum.mjs FAILED_STEPS REPORT…` prints the last line of .ci/run;
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
  const [failedSteps, ...reports] = process.argv.slice(2);
  const sums = reports.map(sum);
  const total = (field) => sums.reduce((all, one) => all + one[field], 0);
  const failed = total('failed') + Number(failedSteps);
  console.log(`${total('passed')} passed, ${failed} failed, ${total('skipped')} skipped`);
  process.exitCode = failed > 0 || total('passed') === 0 ? 1 : 0;
}

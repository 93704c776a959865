// Sums vitest's JSON reports. `sum.mjs FAILED_STEPS REPORT…` prints a line for each failed test and the last line of
// .ci/run;
// `sum.mjs --explains-failure REPORT` exits with 0 if the report itself contains a failure.
import { existsSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';

function sum(file) {
  if (!existsSync(file)) return { passed: 0, failed: 0, skipped: 0, names: [] };
  const report = JSON.parse(readFileSync(file, 'utf8'));
  // A file that could not be loaded has no failed test.
  const broken = report.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests + report.numTodoTests,
    names: [...broken.map((file) => named(file)), ...report.testResults.flatMap(failedTests)],
  };
}

function failedTests({ name: path, assertionResults }) {
  return assertionResults
    .filter(({ status }) => status === 'failed')
    .map(({ fullName, failureMessages }) => named({ name: path, message: failureMessages[0] }, fullName));
}

function named({ name, message = '' }, test = 'could not be run') {
  return `${relative(process.cwd(), name)} (${test}): ${message.split('\n', 1)[0]}`;
}

if (process.argv[2] === '--explains-failure') {
  process.exitCode = sum(process.argv[3]).failed > 0 ? 0 : 1;
} else {
  const [failedSteps, ...reports] = process.argv.slice(2);
  const sums = reports.map(sum);
  const total = (field) => sums.reduce((all, one) => all + one[field], 0);
  for (const name of sums.flatMap(({ names }) => names)) console.log(`failed: ${name}`);
  const failed = total('failed') + Number(failedSteps);
  console.log(`${total('passed')} passed, ${failed} failed, ${total('skipped')} skipped`);
  process.exitCode = failed > 0 || total('passed') === 0 ? 1 : 0;
}

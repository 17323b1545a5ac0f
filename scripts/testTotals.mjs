// Prints the totals of test runs as one line. Usage: `node scripts/testTotals.mjs FILE STATUS [FILE STATUS …]`: for each run the
// report of vitest's JSON reporter and the exit status. Exits with 1 if a test failed. An unreadable report counts as one
// failure, and so do a test file that could not run and a run that failed outside of its tests.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/**
 * @typedef {object} Report the part of vitest's JSON report that this script reads
 * @property {number} numPassedTests
 * @property {number} numPendingTests
 * @property {number} numTodoTests
 * @property {{ status: string, assertionResults: { status: string }[] }[]} testResults
 */

/**
 * @param {string} json the report of vitest's JSON reporter; another text counts as one failure
 * @param {boolean} succeeded true if the run exited with status 0
 * @returns {{ passed: number, failed: number, skipped: number }}
 */
export function countTests(json, succeeded) {
  /** @type {Report} */
  let report;
  try {
    report = JSON.parse(json);
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const failures = report.testResults.map(({ status, assertionResults }) => {
    const failed = assertionResults.filter((test) => test.status === "failed").length;
    return status === "failed" ? Math.max(failed, 1) : failed;
  });
  const failed = failures.reduce((sum, count) => sum + count, 0);
  return {
    passed: report.numPassedTests,
    failed: succeeded ? failed : Math.max(failed, 1),
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const totals = { passed: 0, failed: 0, skipped: 0 };
  const runs = process.argv.slice(2);
  for (let run = 0; run < runs.length; run += 2) {
    const { passed, failed, skipped } = countTests(read(runs[run] ?? ""), runs[run + 1] === "0");
    totals.passed += passed;
    totals.failed += failed;
    totals.skipped += skipped;
  }
  console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
  process.exitCode = totals.failed > 0 ? 1 : 0;
}

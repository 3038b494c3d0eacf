/*
 * `npm test`: types, lint, unit tests, then the system tests in two private sandboxes. The last line is the count of the
 * test runner's own reports, which `.ci/run` prints again.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const root = join(import.meta.dirname, "..");
const cache = join(root, "node_modules/.cache/causeway");
const summaryFile = join(cache, "summary.txt");

const reportSchema = z.looseObject({
  numPassedTests: z.int(),
  numFailedTests: z.int(),
  numPendingTests: z.int(),
  numTodoTests: z.int(),
  numFailedTestSuites: z.int(),
});

interface Count {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

function run(title: string, command: string, ...args: string[]): boolean {
  const began = performance.now();
  console.log(`\n== ${title}`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (error) console.error(`cannot run ${command}: ${error.message}`);
  console.log(`== ${title}: ${status === 0 ? "ok" : "FAILED"}, ${((performance.now() - began) / 1000).toFixed(1)} s`);
  return status === 0;
}

/** Counts of a report; a missing report counts as one failure: the runner did not get as far as writing it. */
function countOf(file: string, ok: boolean): Count {
  try {
    const report = reportSchema.parse(JSON.parse(readFileSync(file, "utf8")));
    // A file that cannot be loaded is a failed suite without a failed test.
    const failed = report.numFailedTests > 0 || ok ? report.numFailedTests : Math.max(1, report.numFailedTestSuites);
    return { passed: report.numPassedTests, failed, skipped: report.numPendingTests + report.numTodoTests };
  } catch (error) {
    console.error(`no test report in ${file}: ${String(error)}`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

const vitest = [join(root, "node_modules/vitest/vitest.mjs"), "run", "--project"];
const reporters = (file: string): string[] => ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];

function unitTests(): Count {
  const file = join(cache, "unit.json");
  const args = [...vitest, "unit", ...reporters(file), ...process.argv.slice(2)];
  return countOf(file, run("unit tests", process.execPath, ...args));
}

/** The folders whose tests take more than half of the time. */
const FIRST_LANE = ["test/system/", "test/frontend/"];
/** What needs the machine for itself: BFD falls where its thread waits for a processor. */
const QUIET = ["test/quiet/"];

/** The other folders of tests. (vitest's --exclude does not reach the files of a project.) */
function secondLane(): string[] {
  const folders = readdirSync(join(root, "test"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [
    "packages/",
    ...folders.map(({ name }) => `test/${name}/`).filter((folder) => ![...FIRST_LANE, ...QUIET].includes(folder)),
  ];
}

/** One lane of system tests, in a sandbox of its own. What it says is told in one piece, unless it is the one that speaks. */
async function lane(name: "first" | "second" | "quiet", ...choice: readonly string[]): Promise<Count> {
  const file = join(cache, `system-${name}.json`);
  const began = performance.now();
  const args = [...vitest, "system", ...reporters(file), ...choice, ...process.argv.slice(2)];
  // The first lane's tests are about time.
  const patient = name === "second" ? ["nice", "-n", "10"] : [];
  const [program = "", ...rest] = [...patient, "sh", join(root, "scripts/sandbox.sh"), process.execPath, ...args];
  const child = spawn(program, rest, {
    cwd: root,
    stdio: name === "second" ? ["inherit", "pipe", "pipe"] : "inherit",
  });
  const parts: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (part: Buffer) => parts.push(part));
  const [code]: unknown[] = await once(child, "close");
  const took = ((performance.now() - began) / 1000).toFixed(1);
  process.stdout.write(Buffer.concat(parts));
  console.log(`== system tests, ${name} lane: ${code === 0 ? "ok" : "FAILED"}, ${took} s`);
  return countOf(file, code === 0);
}

/** Two lanes at a time: tests of the system wait for most of their time. In each, one file runs after the other. */
async function systemTests(): Promise<Count[]> {
  console.log("\n== system tests, in private sandboxes, two lanes; the second speaks when it has ended");
  const counts = await Promise.all([lane("first", ...FIRST_LANE), lane("second", ...secondLane())]);
  return [...counts, await lane("quiet", ...QUIET)];
}

rmSync(cache, { recursive: true, force: true });
mkdirSync(cache, { recursive: true });
const bin = (name: string): string => join(root, "node_modules/.bin", name);
const checks = [
  run("types", bin("tsc"), "--noEmit"),
  run("lint", bin("biome"), "check", "--error-on-warnings", "."),
  run("unused code", bin("knip")),
];
const counts = [unitTests(), ...(await systemTests())];
const sum = (key: keyof Count): number => counts.reduce((total, count) => total + count[key], 0);
const failed = sum("failed") + checks.filter((ok) => !ok).length;
const summary = `${sum("passed")} passed, ${failed} failed, ${sum("skipped")} skipped`;
writeFileSync(summaryFile, `${summary}\n`);
console.log(`\n${summary}`);
process.exitCode = failed === 0 ? 0 : 1;

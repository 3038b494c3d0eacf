/*
 * `npm test`: types, lint, unit tests, then the system tests in private sandboxes. The last line is the count of the
 * test runner's own reports, which `.ci/run` prints again.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAnotherRun, type FileResult, type Outcome, parseTestReport } from "./test-report.ts";

const root = join(import.meta.dirname, "..");
const cache = join(root, "node_modules/.cache/causeway");
const summaryFile = join(cache, "summary.txt");

function run(title: string, command: string, ...args: string[]): boolean {
  const began = performance.now();
  console.log(`\n== ${title}`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (error) console.error(`cannot run ${command}: ${error.message}`);
  console.log(`== ${title}: ${status === 0 ? "ok" : "FAILED"}, ${((performance.now() - began) / 1000).toFixed(1)} s`);
  return status === 0;
}

/** What the report in a file says; a missing one is a failure: the runner did not get as far as writing it. */
function outcomeOf(file: string, ok: boolean): Outcome {
  try {
    return { files: parseTestReport(readFileSync(file, "utf8")), ok };
  } catch (error) {
    const failures = [{ test: "the test runner's report", why: String(error) }];
    return { files: [{ file, passed: 0, skipped: 0, failures }], ok: false };
  }
}

const vitest = [join(root, "node_modules/vitest/vitest.mjs"), "run", "--project"];
const reporters = (file: string): string[] => ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];

function unitTests(): Outcome {
  const file = join(cache, "unit.json");
  const args = [...vitest, "unit", ...reporters(file), ...process.argv.slice(2)];
  return outcomeOf(file, run("unit tests", process.execPath, ...args));
}

/** Tests that are about time, and take about half of it. */
const FIRST_LANE = ["test/system/", "test/frontend/", "test/cluster/"];
/** What needs the machine for itself: BFD falls where its thread waits for a processor, and a lab that leaves nothing is told by all that is there. */
const QUIET = ["test/quiet/"];

/** The other folders of tests. (vitest's --exclude does not reach the files of a project.) */
function secondLane(): string[] {
  const folders = readdirSync(join(root, "test"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const others = [...FIRST_LANE, ...QUIET];
  return ["packages/", ...folders.map(({ name }) => `test/${name}/`).filter((folder) => !others.includes(folder))];
}

/** More files than these that fail are no matter of a slow moment. */
const RUN_AGAIN = 4;

type Lane = "first" | "second" | "quiet" | "again";

/** One lane of system tests, in a sandbox of its own. What the second says is told in one piece. */
async function lane(name: Lane, ...choice: readonly string[]): Promise<Outcome> {
  const file = join(cache, `system-${name}.json`);
  const began = performance.now();
  const args = [...vitest, "system", ...reporters(file), ...choice, ...process.argv.slice(2)];
  const isPatient = name === "second";
  const [program = "", ...rest] = [
    ...(isPatient ? ["nice", "-n", "10"] : []),
    "sh",
    join(root, "scripts/sandbox.sh"),
    process.execPath,
    ...args,
  ];
  const child = spawn(program, rest, {
    cwd: root,
    stdio: isPatient ? ["inherit", "pipe", "pipe"] : "inherit",
  });
  const parts: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (part: Buffer) => parts.push(part));
  const [code]: unknown[] = await once(child, "close");
  const took = ((performance.now() - began) / 1000).toFixed(1);
  process.stdout.write(Buffer.concat(parts));
  console.log(`== system tests, ${name} lane: ${code === 0 ? "ok" : "FAILED"}, ${took} s`);
  return outcomeOf(file, code === 0);
}

/**
 * Two lanes at a time: tests of the system wait for most of their time. In each, one file runs after the other. A file
 * that fails beside the other lane is run once more, alone, and that counts: what it holds is how long the product takes, not its
 * neighbours. Both runs are told.
 */
async function systemTests(): Promise<Outcome[]> {
  console.log("\n== system tests, in private sandboxes, two lanes; the second speaks when it has ended");
  const lanes = await Promise.all([lane("first", ...FIRST_LANE), lane("second", ...secondLane())]);
  const quiet = await lane("quiet", ...QUIET);
  const failed = lanes.flatMap(({ files }) => files).filter(({ failures }) => failures.length > 0);
  if (failed.length === 0 || failed.length > RUN_AGAIN || failed.some(({ file }) => !file.endsWith(".test.ts")))
    return [...lanes, quiet];
  tell("failed beside the other lane, and run again alone", failed);
  const again = await lane("again", ...failed.map(({ file }) => relative(root, file)));
  return [...afterAnotherRun(lanes, again), quiet];
}

function tell(title: string, files: readonly FileResult[]): void {
  const lines = files.flatMap(({ file, failures }) =>
    failures.map(({ test, why }) => `  ${relative(root, file)}: ${test}\n    ${why}`),
  );
  if (lines.length > 0) console.log(`\n== ${title}:\n${lines.join("\n")}`);
}

rmSync(cache, { recursive: true, force: true });
mkdirSync(cache, { recursive: true });
const bin = (name: string): string => join(root, "node_modules/.bin", name);
const checks = [
  run("types", bin("tsc"), "--noEmit"),
  run("lint", bin("biome"), "check", "--error-on-warnings", "."),
  run("unused code", bin("knip")),
];
const outcomes = [unitTests(), ...(await systemTests())];
const files = outcomes.flatMap((outcome) => outcome.files);
tell("failed", files);
const sum = (count: (result: FileResult) => number): number => files.reduce((total, file) => total + count(file), 0);
// The runner can fail without a test that did: an error that nobody caught.
const without = outcomes.filter(({ ok, files: of }) => !ok && of.every(({ failures }) => failures.length === 0));
const failed = sum(({ failures }) => failures.length) + without.length + checks.filter((ok) => !ok).length;
const summary = `${sum(({ passed }) => passed)} passed, ${failed} failed, ${sum(({ skipped }) => skipped)} skipped`;
writeFileSync(summaryFile, `${summary}\n`);
console.log(`\n${summary}`);
process.exitCode = failed === 0 ? 0 : 1;

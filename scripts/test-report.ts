/* What the test runner's JSON report says, file by file. */
import { z } from "zod";

const reportSchema = z.looseObject({
  testResults: z.array(
    z.looseObject({
      name: z.string(),
      status: z.string(),
      message: z.string().default(""),
      assertionResults: z.array(
        z.looseObject({
          fullName: z.string(),
          status: z.string(),
          failureMessages: z.array(z.string()).nullish(),
        }),
      ),
    }),
  ),
});

export interface Failure {
  readonly test: string;
  /** First line of what the runner says. */
  readonly why: string;
}

/** Of one file. */
export interface FileResult {
  readonly file: string;
  readonly passed: number;
  readonly skipped: number;
  readonly failures: readonly Failure[];
}

const firstLine = (text: string): string => text.trim().split("\n", 1)[0] ?? "";

/** @throws SyntaxError when it is no JSON, ZodError when it is not a report. */
export function parseTestReport(text: string): FileResult[] {
  return reportSchema.parse(JSON.parse(text)).testResults.map(({ name, status, message, assertionResults }) => {
    const failures = assertionResults
      .filter((result) => result.status === "failed")
      .map((result) => ({ test: result.fullName, why: firstLine(result.failureMessages?.[0] ?? "") }));
    // A file that cannot be loaded, or whose hooks fail, has no failed test.
    if (status === "failed" && failures.length === 0) failures.push({ test: "the file", why: firstLine(message) });
    const passed = assertionResults.filter((result) => result.status === "passed").length;
    const skipped = assertionResults.filter(({ status: of }) => of !== "passed" && of !== "failed").length;
    return { file: name, passed, skipped, failures };
  });
}

/** Of one run of the runner. */
export interface Outcome {
  readonly files: readonly FileResult[];
  /** It ended without an error. */
  readonly ok: boolean;
}

const hasFailed = ({ files }: Outcome): boolean => files.some(({ failures }) => failures.length > 0);

/**
 * What counts when files that failed were run again: their later result. A runner that ended badly though no test of its
 * own had failed (an error that nobody caught) has done so all the same.
 */
export function afterAnotherRun(first: readonly Outcome[], again: Outcome): Outcome[] {
  const later = new Map(again.files.map((result) => [result.file, result]));
  return [
    ...first.map((outcome) => ({
      files: outcome.files.map((result) => later.get(result.file) ?? result),
      ok: outcome.ok || hasFailed(outcome),
    })),
    { files: [], ok: again.ok || hasFailed(again) },
  ];
}

import { execFileSync } from "node:child_process";

/** Runs ip(8) and returns what it prints. */
export function ip(...args: readonly string[]): string {
  return execFileSync("ip", args, { encoding: "utf8" });
}

/** What `run` throws, or undefined. */
export function failure(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

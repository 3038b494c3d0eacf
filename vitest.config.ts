import { defineConfig } from "vitest/config";

/** Each fault with 1,000 connections, and its control: minutes, on a machine that does nothing else. `npm run faults`. */
const FAULTS = ["test/system/{faults,changes,versions}.test.ts"];

/**
 * Three projects. `unit`: pure code, beside its source, no privileges. `system`: real kernel, gobgpd and BIRD; it runs
 * inside the private user, mount, pid and network namespaces that scripts/run-tests.ts makes. `faults`: those that take too
 * long for every run; `npm test` has a short round of chaos of the same faults.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: [
            "{cli,controller,discovery,frontend,lab,node,proxy,shared,scripts,topics}/**/*.test.ts",
            "packages/*/src/**/*.test.ts",
          ],
          // No module holds state, so files can share them: loading them anew took more than the tests.
          isolate: false,
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: "system",
          include: ["test/**/*.test.ts", "packages/*/test/**/*.test.ts"],
          exclude: FAULTS,
          pool: "forks",
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: "faults",
          include: FAULTS,
          pool: "forks",
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});

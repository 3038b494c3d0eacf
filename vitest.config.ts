import { defineConfig } from "vitest/config";

/**
 * Two projects. `unit`: pure code, beside its source, no privileges. `system`: real kernel, gobgpd and BIRD; it runs
 * inside the private user, mount, pid and network namespaces that scripts/run-tests.ts makes.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: [
            "{cli,controller,frontend,lab,node,proxy,shared,scripts}/**/*.test.ts",
            "packages/*/src/**/*.test.ts",
          ],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: "system",
          include: ["test/**/*.test.ts", "packages/*/test/**/*.test.ts"],
          pool: "forks",
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});

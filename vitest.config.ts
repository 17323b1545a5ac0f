import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    globalSetup: ["test/support/globalSetup.ts"],
    testTimeout: 20_000,
    hookTimeout: 30_000,
    pool: "forks",
    maxWorkers: 2,
    passWithNoTests: false,
    projects: [
      { extends: true, test: { name: "main", include: ["test/**/*.test.ts"], exclude: ["test/fault/**"] } },
      {
        // These load the machine so much that others would time out beside them: after the rest. They mostly wait, so that
        // several fleets run side by side.
        extends: true,
        test: {
          name: "fault",
          include: ["test/fault/*.test.ts"],
          maxConcurrency: 3,
          sequence: { groupOrder: 1 },
        },
      },
      {
        // Fleets while Redis answers with errors, for a moment or for long. `npm run test:refusals` runs only these.
        extends: true,
        test: {
          name: "refusals",
          include: ["test/fault/refusals/*.test.ts"],
          maxConcurrency: 3,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NftInputError, NftKernelError, NftSyntaxError } from "./errors.ts";
import { drive, listSteps, type Reply, type Request, runSteps, transactionSteps } from "./operations.ts";
import type { NftCommand } from "./ruleset.ts";

function refusal(message: string): Reply {
  return { errors: `internal:0:0-0: Error: ${message}\n\n\n`, sourceIsTrue: true };
}

function addTable(name: string): NftCommand {
  return { add: { table: { family: "inet", name } } };
}

/** A kernel that refuses a table named "bad"; counts its requests. */
function kernel(message = "Could not process rule: File exists") {
  const requests: Request[] = [];
  const execute = (request: Request): Reply => {
    requests.push(request);
    return request.text.includes('"name":"bad"') ? refusal(message) : { output: "" };
  };
  return { requests, execute };
}

function failure(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("transactionSteps", () => {
  it("names the refused command, wherever it stands, by dry runs only", () => {
    fc.assert(
      fc.property(fc.nat(40), fc.nat(40), (before, after) => {
        const tables = [...Array(before).fill("a"), "bad", ...Array(after).fill("b")].map(addTable);
        const { requests, execute } = kernel();
        const error = failure(() => drive(transactionSteps(tables), execute));
        expect(error).toBeInstanceOf(NftKernelError);
        expect(error).toMatchObject({
          code: "EEXIST",
          diagnostics: [{ command: before, source: JSON.stringify(addTable("bad")) }],
        });
        expect(requests.filter((request) => !request.checkOnly)).toHaveLength(1);
      }),
    );
  });

  it("blames no command when the dry run passes", () => {
    let calls = 0;
    const execute = (): Reply => {
      calls += 1;
      return calls === 1 ? refusal("Could not process rule: File exists") : { output: "" };
    };
    const error = failure(() => drive(transactionSteps([addTable("a"), addTable("b")]), execute));
    expect(error).toMatchObject({ code: "EEXIST", diagnostics: [{ message: "Could not process rule: File exists" }] });
  });

  it("blames no command for what depends on the size of all", () => {
    const { requests, execute } = kernel("Could not process rule: Message too long");
    const error = failure(() => drive(transactionSteps([addTable("bad"), addTable("b")]), execute));
    expect(error).toMatchObject({ code: "EMSGSIZE", retryable: true });
    expect(requests).toHaveLength(1);
  });

  it("sends nothing for no commands", () => {
    const { requests, execute } = kernel();
    drive(transactionSteps([]), execute);
    expect(requests).toEqual([]);
  });

  it.each([
    ["a\0b", "a NUL byte"],
    ["a\ud800", "an unpaired surrogate"],
  ])("refuses %j, which JSON for libnftables cannot hold", (name, problem) => {
    const { requests, execute } = kernel();
    const error = failure(() => drive(transactionSteps([addTable("a"), addTable(name)]), execute));
    expect(error).toBeInstanceOf(NftInputError);
    expect(String(error)).toContain(`nftables command 1: "name" is`);
    expect(String(error)).toContain(problem);
    expect(requests).toEqual([]);
  });
});

describe("runSteps", () => {
  it("tries again when the ruleset changed underneath, a bounded number of times", () => {
    for (const failures of [1, 3, 5, 6, 100]) {
      let calls = 0;
      const execute = (): Reply => {
        calls += 1;
        return calls <= failures ? refusal("cache initialization failed: Interrupted system call") : { output: "done" };
      };
      const run = () => drive(runSteps("list ruleset"), execute);
      if (failures < 6) expect(run()).toBe("done");
      else expect(failure(run)).toMatchObject({ code: "EINTR", retryable: true });
      expect(calls).toBe(Math.min(failures + 1, 6));
    }
  });

  it("does not try again what was refused", () => {
    let calls = 0;
    const execute = (): Reply => {
      calls += 1;
      return { errors: "Error: syntax error, unexpected x\nx\n^\n", sourceIsTrue: true };
    };
    expect(failure(() => drive(runSteps("x"), execute))).toBeInstanceOf(NftSyntaxError);
    expect(calls).toBe(1);
  });

  it("refuses a NUL byte and says where", () => {
    const run = () => drive(runSteps("add table inet a\0; flush ruleset"), () => ({ output: "" }));
    expect(run).toThrow(NftInputError);
    expect(run).toThrow("offset 16");
  });
});

describe("listSteps", () => {
  it("asks in JSON, without building text from names", () => {
    const { requests, execute } = kernel();
    drive(listSteps({ map: { family: "netdev", table: "t", name: 'x"; y' } }), execute);
    expect(JSON.parse(requests[0]?.text ?? "")).toEqual({
      nftables: [{ list: { map: { family: "netdev", table: "t", name: 'x"; y' } } }],
    });
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { errnoCode, errorFor, parseDiagnostics } from "./diagnostics.ts";
import { NftKernelError, NftNotFoundError, NftSyntaxError } from "./errors.ts";

const file = "/proc/self/fd/22";

describe("parseDiagnostics", () => {
  it("reads several errors of a file", () => {
    const errors = `${file}:2:19-25: Error: Could not process rule: No such file or directory
add rule netdev t nochain accept
                  ^^^^^^^
${file}:3:22-24: Error: No such file or directory; did you mean chain ‘x’ in table netdev ‘t’?
  add rule netdev t2 foo accept
                     ^^^
`;
    expect(parseDiagnostics({ errors, file, sourceIsTrue: false })).toEqual([
      {
        message: "Could not process rule: No such file or directory",
        line: 2,
        column: 19,
        endColumn: 25,
        source: "add rule netdev t nochain accept",
      },
      {
        message: "No such file or directory; did you mean chain ‘x’ in table netdev ‘t’?",
        line: 3,
        column: 22,
        endColumn: 24,
        source: "  add rule netdev t2 foo accept",
      },
    ]);
  });

  const buffer = `Error: syntax error, unexpected newline, expecting string
add table netdev t
       ^
`;

  it("takes line and source of a one-line buffer", () => {
    expect(parseDiagnostics({ errors: buffer, sourceIsTrue: true })).toEqual([
      {
        message: "syntax error, unexpected newline, expecting string",
        line: 1,
        column: 8,
        endColumn: 8,
        source: "add table netdev t",
      },
    ]);
  });

  it("keeps only the column of a buffer with several lines, whose source line libnftables gets wrong", () => {
    expect(parseDiagnostics({ errors: buffer, sourceIsTrue: false })).toEqual([
      { message: "syntax error, unexpected newline, expecting string", column: 8, endColumn: 8 },
    ]);
  });

  it("names the file that an include led to", () => {
    const errors = `In file included from <cmdline>:1:1-22:
/etc/x.nft:1:5-5: Error: syntax error, unexpected colon, expecting string
root:x:0
    ^
`;
    expect(parseDiagnostics({ errors, sourceIsTrue: true })[0]).toMatchObject({
      file: "/etc/x.nft",
      line: 1,
      column: 5,
    });
  });

  it("finds the index of a JSON command", () => {
    const errors = `internal:0:0-0: Error: Unknown statement object 'frob'.

internal:0:0-0: Error: Parsing expr array at index 0 failed.

internal:0:0-0: Error: Parsing command array at index 1 failed.

`;
    expect(parseDiagnostics({ errors, sourceIsTrue: true })).toEqual([
      { message: "Unknown statement object 'frob'.", command: 1 },
      { message: "Parsing expr array at index 0 failed.", command: 1 },
    ]);
  });

  it("reads netlink errors without a position", () => {
    const errors = "netlink: Error: Could not process rule: Message too long\n\n";
    expect(parseDiagnostics({ errors, sourceIsTrue: true })).toEqual([
      { message: "Could not process rule: Message too long" },
    ]);
  });

  it("does not take the caller's source line for an error", () => {
    fc.assert(
      fc.property(fc.constantFrom("Error: Could not process rule: File exists", "a:1:1-1: Error: x"), (source) => {
        const errors = `Error: syntax error\n${source}\n^^^^^\n`;
        expect(parseDiagnostics({ errors, sourceIsTrue: true })).toEqual([
          { message: "syntax error", line: 1, column: 1, endColumn: 5, source },
        ]);
      }),
    );
  });

  it("never throws and always says something", () => {
    fc.assert(
      fc.property(fc.string(), fc.boolean(), (errors, sourceIsTrue) => {
        const diagnostics = parseDiagnostics({ errors, sourceIsTrue });
        return diagnostics.length > 0 && errorFor(diagnostics).message.length > 0;
      }),
    );
  });
});

describe("errnoCode", () => {
  it.each([
    ["Could not process rule: Device or resource busy", "EBUSY"],
    ["Could not process rule: Resource busy", "EBUSY"],
    ["No such file or directory; did you mean table ‘t’ in family netdev?", "ENOENT"],
    ["cache initialization failed: Operation not permitted", "EPERM"],
    ["Could not process rule: Quux", "UNKNOWN"],
    ["Interface does not exist", "ENODEV"],
    ["Could not resolve hostname: Name or service not known", undefined],
    ["syntax error, unexpected newline", undefined],
  ])("%s", (message, code) => expect(errnoCode(message)).toBe(code));
});

describe("errorFor", () => {
  it("chooses the class", () => {
    expect(errorFor([{ message: "syntax error" }])).toBeInstanceOf(NftSyntaxError);
    expect(errorFor([{ message: "Could not process rule: File exists" }])).toBeInstanceOf(NftKernelError);
    expect(errorFor([{ message: "No such file or directory" }])).toBeInstanceOf(NftNotFoundError);
  });

  it("says where, what and with which errno, in one short line", () => {
    const source = `add element netdev t m { ${"1 : 2, ".repeat(10_000)} }`;
    const error = errorFor([
      { message: "Could not process rule: File exists", line: 3, column: 26, source },
      { message: "another" },
    ]);
    expect(error.message).toMatch(
      /^nftables: line 3, column 26: Could not process rule: File exists: add element .*… \(and 1 more\) \(EEXIST\)$/,
    );
    expect(error.message.length).toBeLessThan(260);
  });
});

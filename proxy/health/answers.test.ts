import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { judgeDatagram, judgeHttp, notAsked, notSent } from "./probe-socket.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("answers", () => {
  test("HTTP: a status from 200 to 399", () => {
    const kindOf = (text: string): string => judgeHttp(bytes(text)).kind;
    expect(kindOf("HTTP/1.1 200 OK\r\n\r\n")).toBe("answered");
    expect(kindOf("HTTP/1.0 302 Found\r\n")).toBe("answered");
    expect(judgeHttp(bytes("HTTP/1.1 503 Unwell\r\n"))).toEqual({ kind: "refused", message: "HTTP status 503" });
    expect(kindOf("HTTP/1.1 404\r\n")).toBe("refused");
    expect(kindOf("HTTP/2 200")).toBe("refused");
    expect(kindOf("HTTP/1.1 20000")).toBe("refused");
    expect(judgeHttp(bytes("")).message).toBe("closed without an answer");
  });

  test("UDP: whatever begins as it should", () => {
    expect(judgeDatagram(bytes("pong!"), "pong").kind).toBe("answered");
    expect(judgeDatagram(bytes(""), "").kind).toBe("answered");
    expect(judgeDatagram(bytes("pon"), "pong").kind).toBe("refused");
  });

  test("errors: want of our own says nothing of the target; a reset is a word, silence is none", () => {
    expect(["ENODEV", "EPERM", "EMFILE"].map((code) => notAsked(code).kind)).toEqual([
      "failed",
      "undecided",
      "undecided",
    ]);
    expect(["EHOSTUNREACH", "ENETUNREACH", "EPERM"].map((code) => notSent(code).kind)).toEqual(Array(3).fill("failed"));
    expect(["ECONNREFUSED", "ECONNRESET"].map((code) => notSent(code).kind)).toEqual(["refused", "refused"]);
    expect(["EADDRNOTAVAIL", "ENOBUFS"].map((code) => notSent(code).kind)).toEqual(["undecided", "undecided"]);
  });

  test("whatever a target sends is judged, and throws nothing", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.string(), (data, text) => {
        expect(judgeHttp(data).kind).not.toBe("undecided");
        expect(judgeDatagram(data, text).kind).not.toBe("undecided");
      }),
    );
  });
});

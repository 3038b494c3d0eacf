import { describe, expect, it } from "vitest";
import { parseTrafficOptions, parseTrafficOptionsOfAll } from "./options.ts";

describe("traffic options", () => {
  it("take addresses of both families", () => {
    expect(parseTrafficOptions({ to: "192.0.2.1:80" })).toMatchObject({
      address: "192.0.2.1",
      port: 80,
      connections: 100,
      protocol: "tcp",
    });
    expect(parseTrafficOptions({ to: "[2001:DB8::1]:80", protocol: "udp", source: "::1" })).toMatchObject({
      address: "2001:db8::1",
      source: "::1",
    });
  });

  it("go on for a duration instead of a number", () => {
    expect(parseTrafficOptions({ to: "192.0.2.1:80", duration: "2.5" })).toMatchObject({
      durationMs: 2500,
      connections: Number.POSITIVE_INFINITY,
    });
    expect(parseTrafficOptions({ to: "192.0.2.1:80", keep: true })).toMatchObject({
      durationMs: 10_000,
      connections: 100,
    });
  });

  it("are the same for each of several destinations", () => {
    const given = { to: ["192.0.2.1:80", "[2001:db8::1]:80"], keep: true, newRate: "50" };
    expect(parseTrafficOptionsOfAll(given)).toMatchObject([
      { address: "192.0.2.1", keep: true, newRate: 50 },
      { address: "2001:db8::1", keep: true, newRate: 50 },
    ]);
  });

  it.each([
    [{ to: "192.0.2.1:80", newRate: "50" }, /--new-rate needs --keep/],
    [{ to: "192.0.2.1:80", keep: true, newRate: "x" }, /--new-rate "x" must be a number/],
    [{ to: "example.org:80" }, /--to/],
    [{ to: "2001:db8::1:80" }, /--to/],
    [{ to: "192.0.2.1:0" }, /--to/],
    [{ to: "192.0.2.1:65536" }, /--to/],
    [{ to: "192.0.2.1:80", protocol: "sctp" }, /--protocol "sctp" must be tcp or udp/],
    [{ to: "192.0.2.1:80", connections: "0" }, /--connections/],
    [{ to: "192.0.2.1:80", connections: "1.5" }, /whole number/],
    [{ to: "192.0.2.1:80", rate: "-1" }, /--rate/],
    [{ to: "192.0.2.1:80", payload: "1" }, /--payload/],
    [{ to: "192.0.2.1:80", source: "::1" }, /--source/],
  ])("refuse %j", (given, message) => {
    expect(() => parseTrafficOptions(given)).toThrow(message);
  });
});

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bareTopology, eventually, finished, LabCommand } from "./bare-lab.ts";

/** Accepts connections and resets them when they speak; answers every second datagram. */
const RUDE = `
const net = require("node:net"), dgram = require("node:dgram");
net.createServer((s) => { s.on("error", () => {}); s.once("data", () => s.resetAndDestroy()); }).listen(9001, "::");
net.createServer((s) => { s.on("error", () => {}); s.once("data", () => s.end()); }).listen(9002, "::");
net.createServer((s) => { s.on("error", () => {}); s.once("data", (d) => s.end("liar\\n" + "x".repeat(d.length))); }).listen(9003, "::");
let n = 0; const u = dgram.createSocket("udp4"); u.on("message", (m, f) => { if (n++ % 2) u.send(Buffer.concat([Buffer.from("rude\\n"), m]), f.port, f.address); }); u.bind(9004);
`;

const command = new LabCommand();
const TARGET = "10.1.0.11";
beforeAll(async () => {
  const server = JSON.stringify([process.execPath, "-e", RUDE]);
  const topology = command.topology(bareTopology({ "target-1": `, processes: [{ name: rude, command: ${server} }]` }));
  expect(await command.lab("up", "-t", topology, "--wait")).toMatchObject({ code: 0, stderr: "" });
  await eventually(async () => {
    expect(await command.exec("target-1", "ss", "-Hltn", "sport = 9003")).not.toBe("");
  });
});
afterAll(() => command.remove());

describe("traffic", () => {
  it("sustains 2,000 connections a second and loses none", async () => {
    const { code, report } = await command.traffic(
      "gateway-a",
      "--to",
      `${TARGET}:8080`,
      "--connections",
      "6000",
      "--rate",
      "2000",
    );
    expect(report).toMatchObject({ sent: 6000, answered: 6000, lost: 0, localRetries: 0 });
    expect(report.ratePerSecond).toBeGreaterThan(1500);
    expect(report.latencyMs.p50).toBeGreaterThan(0);
    expect(code).toBe(0);
  });

  it("keeps to a rate and a duration", async () => {
    const { report } = await command.traffic(
      "gateway-a",
      "--to",
      `${TARGET}:8080`,
      "--duration",
      "1",
      "--rate",
      "100",
      "--protocol",
      "udp",
    );
    expect(report.sent).toBeGreaterThan(40);
    expect(report.sent).toBeLessThanOrEqual(101);
    expect(report.lost).toBe(0);
  });

  it.each([
    ["a reset as reset", 9001, { reset: 10 }],
    ["an early close as closed", 9002, { closed: 10 }],
    ["a wrong answer as corrupt", 9003, { corrupt: 10 }],
    ["a closed port as refused", 9999, { refused: 10 }],
  ])("counts %s", async (_, port, expected) => {
    const { code, report } = await command.traffic("gateway-a", "--to", `${TARGET}:${port}`, "--connections", "10");
    expect(report).toMatchObject({ sent: 10, answered: 0, lost: 10, ...expected });
    expect(code).toBe(1);
  });

  it("counts a lost datagram as lost, and sends it again only when asked", async () => {
    const args = [
      "--to",
      `${TARGET}:9004`,
      "--protocol",
      "udp",
      "--connections",
      "10",
      "--concurrency",
      "1",
      "--timeout",
      "400",
    ];
    const { code, report } = await command.traffic("gateway-a", ...args);
    expect(report).toMatchObject({ sent: 10, answered: 5, lost: 5, timeouts: 5 });
    expect(code).toBe(1);
    expect((await command.traffic("gateway-a", ...args, "--retries", "1")).report).toMatchObject({
      answered: 10,
      lost: 0,
    });
  });

  it.each(["tcp", "udp"])("counts what a dead target swallows as lost, %s", async (protocol) => {
    await command.exec(
      "target-1",
      "nft",
      "add table inet cw-dead; add chain inet cw-dead in { type filter hook input priority 0; policy drop; }",
    );
    try {
      const { code, report } = await command.traffic(
        "gateway-a",
        "--to",
        `${TARGET}:8080`,
        "--protocol",
        protocol,
        "--connections",
        "5",
        "--timeout",
        "500",
      );
      expect(report).toMatchObject({ sent: 5, answered: 0, lost: 5 });
      expect(report.timeouts + report.unreachable).toBe(5);
      expect(code).toBe(1);
    } finally {
      await command.exec("target-1", "nft", "delete table inet cw-dead");
    }
  });

  it("counts no route as unreachable", async () => {
    const { report } = await command.traffic("gateway-a", "--to", "172.31.0.1:80", "--connections", "3");
    expect(report).toMatchObject({ lost: 3, unreachable: 3 });
  });

  it("says that a source address is not this machine's, and counts nothing", async () => {
    const result = await command.lab(
      "exec",
      "gateway-a",
      "--",
      process.execPath,
      "test/lab/entry.ts",
      "traffic",
      "--to",
      `${TARGET}:8080`,
      "--source",
      "10.1.0.99",
      "--timeout",
      "200",
    );
    expect(result).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("this machine cannot send") });
  });

  it("holds connections open, and reports which broke, when and whose they were", async () => {
    const quiet = await command.traffic(
      "gateway-a",
      "--to",
      `${TARGET}:8080`,
      "--keep",
      "--connections",
      "20",
      "--interval",
      "50",
      "--duration",
      "1",
    );
    expect(quiet.report).toMatchObject({
      held: 20,
      broken: [],
      moved: [],
      lost: 0,
      targets: { "target-1": expect.any(Number) },
    });
    expect(quiet.report.sent).toBeGreaterThan(100);
    expect(quiet.code).toBe(0);

    const child = command.start([
      "lab",
      "exec",
      "gateway-a",
      "--",
      process.execPath,
      "test/lab/entry.ts",
      "traffic",
      "--json",
      "--to",
      `${TARGET}:8080`,
      "--keep",
      "--connections",
      "5",
      "--interval",
      "50",
      "--duration",
      "30",
    ]);
    const end = finished(child);
    await eventually(async () => {
      const lines = await command.exec("target-1", "ss", "-Htn", "state", "established", "sport = 8080");
      expect(lines.trim().split("\n")).toHaveLength(5);
    });
    await command.lab("stop", "target-1", "echo");
    const { code, stdout } = await end;
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ held: 5 });
    expect(report.broken).toHaveLength(5);
    for (const broken of report.broken) {
      expect(broken).toMatchObject({
        target: "target-1",
        sourcePort: expect.any(Number),
        at: expect.stringMatching(/^20/),
      });
      expect(["closed", "reset"]).toContain(broken.outcome);
      expect(broken.afterMs).toBeLessThan(25_000);
    }
    expect(code).toBe(1);
    await command.lab("start", "target-1", "echo");
  });

  it("holds 1,000 connections of both families and tells since when and until when new ones were not served", async () => {
    const child = command.start([
      ...["lab", "exec", "gateway-a", "--", process.execPath, "test/lab/entry.ts", "traffic", "--json", "--keep"],
      ...["--to", `${TARGET}:8080`, "--to", "[fd00:1::11]:8080", "--connections", "500", "--new-rate", "50"],
      ...["--interval", "500", "--duration", "60"],
    ]);
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    const end = finished(child);
    await eventually(() => expect(said.match(/^holding 500 connections to /gm)).toHaveLength(2), 30_000);
    // Every packet is lost until at least one new connection of each family, whose SYN goes unanswered, has been tried.
    const cut = Date.now();
    const drops = async (): Promise<boolean> => {
      const ruleset = await command.exec("target-1", "nft", "list", "table", "inet", "cw-cut");
      const counts = [...ruleset.matchAll(/tcp flags syn counter packets ([0-9]+)/g)].map(([, count]) => Number(count));
      return counts.length === 2 && counts.every((count) => count > 5);
    };
    const rules = ["ipv4", "ipv6"].map((family) => `meta nfproto ${family} tcp flags syn counter drop`).join("; ");
    await command.exec(
      "target-1",
      "nft",
      `add table inet cw-cut; add chain inet cw-cut in { type filter hook input priority 0; ${rules}; }`,
    );
    await eventually(async () => expect(await drops()).toBe(true));
    await command.exec("target-1", "nft", "delete table inet cw-cut");
    const mended = Date.now();
    // What began during the cut is answered when its SYN is sent again.
    await eventually(async () => {
      expect(await command.exec("gateway-a", "ss", "-Htn", "state", "syn-sent")).toBe("");
    });
    child.kill("SIGTERM");
    const { stdout } = await end;
    const [held4, new4, held6, new6] = JSON.parse(stdout);
    for (const report of [held4, held6]) expect(report).toMatchObject({ held: 500, broken: [], moved: [], lost: 0 });
    for (const { interruptions, lost } of [new4, new6]) {
      expect(lost).toBe(0);
      expect(interruptions.late).toBeGreaterThan(0);
      const [span] = interruptions.spans;
      expect(Date.parse(span.from)).toBeGreaterThan(cut);
      expect(Date.parse(interruptions.spans.at(-1).to)).toBeLessThan(mended);
      expect(interruptions.longestGapMs).toBeGreaterThan(0);
    }
  });

  it("looks at what it holds once more at the end", async () => {
    const child = command.start([
      ...["lab", "exec", "gateway-a", "--", process.execPath, "test/lab/entry.ts", "traffic", "--json", "--keep"],
      ...["--to", `${TARGET}:8080`, "--connections", "5", "--interval", "3600000", "--timeout", "400"],
      ...["--duration", "60"],
    ]);
    const end = finished(child);
    await new Promise((resolve) => child.stderr?.once("data", resolve));
    await command.lab("cut", "target-1", "svc0");
    child.kill("SIGTERM");
    const report = JSON.parse((await end).stdout);
    await command.lab("mend", "target-1", "svc0");
    expect(report.broken).toHaveLength(5);
    for (const broken of report.broken) expect(broken).toMatchObject({ target: "target-1", outcome: "timeout" });
  });
});

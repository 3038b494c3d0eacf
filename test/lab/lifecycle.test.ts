import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { labStatusSchema } from "../../lab/lab-status.ts";
import { bareTopology, eventually, finished, LabCommand, machine } from "./bare-lab.ts";

const command = new LabCommand();
const topology = command.topology(bareTopology());
afterAll(() => command.remove());

async function status(name = "default") {
  const { stdout } = await command.lab("status", "--json", "--name", name);
  return labStatusSchema.parse(JSON.parse(stdout));
}

describe("a lab that is up", () => {
  const before = machine();
  beforeAll(async () => {
    const started = performance.now();
    expect(await command.lab("up", "-t", topology)).toMatchObject({ code: 0, stderr: "" });
    // Usually 0.5 s; the bound allows for a machine that does much else.
    expect(performance.now() - started).toBeLessThan(4000);
  });

  it("tells what runs where, and becomes ready", async () => {
    const found = await eventually(async () => {
      const now = await status();
      expect(now.waitingFor).toEqual([]);
      return now;
    });
    expect(found.converged).toBe(true);
    expect(found.manifests).toBe(join(command.folder, "labs/default/manifests"));
    const target = found.nodes.find(({ name }) => name === "target-1");
    expect(target?.addresses).toEqual([{ interface: "svc0", ipv4: "10.1.0.11", ipv6: "fd00:1::11" }]);
    expect(target?.processes).toMatchObject([{ name: "echo", state: "running", ready: true, restarts: 0 }]);
    expect((await command.lab("status")).stdout).toMatch(
      /router +router +acc0 203\.0\.113\.1 2001:db8:c::1 +bird: ready, pid [0-9]+, [0-9]+ MB/,
    );
  });

  it("stores its Pods' readiness and their namespaces", async () => {
    const folder = join(command.folder, "labs/default");
    expect(readFileSync(join(folder, "run/pods/default_target-1"), "utf8")).toBe("/run/netns/target-1\n");
    await eventually(() => {
      const files = readdirSync(join(folder, "state"), { recursive: true, encoding: "utf8" }).filter((file) =>
        file.endsWith(".json"),
      );
      const texts = files
        .map((file) => readFileSync(join(folder, "state", file), "utf8"))
        .filter((text) => text.includes("10.1.0.11"));
      expect(texts.join()).toMatch(/"type":\s*"Ready",\s*"status":\s*"True"/);
    });
  });

  it("passes exit codes, signals, input and the folder through exec", async () => {
    expect(await command.lab("exec", "client", "--", "sh", "-c", "exit 7")).toMatchObject({ code: 7 });
    expect(await command.lab("exec", "client", "--", "sh", "-c", "kill -TERM $$")).toMatchObject({ code: 143 });
    expect(await command.run(["lab", "exec", "client", "--", "cat"], "as it is")).toMatchObject({
      code: 0,
      stdout: "as it is",
    });
    expect((await command.exec("client", "pwd")).trim()).toBe(process.cwd());
    expect(await command.lab("exec", "nobody", "--", "true")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("nodes are client, router"),
    });
    expect((await command.exec("client", "ip", "-brief", "address", "show", "dev", "eth0")).trim()).toContain(
      "203.0.113.2/24",
    );
    const child = command.start([
      "lab",
      "exec",
      "client",
      "--",
      "sh",
      "-c",
      "trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done",
    ]);
    const end = finished(child);
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    child.kill("SIGUSR1");
    expect(await end).toMatchObject({ code: 9 });
  });

  it("ends an exec's command when the exec is killed", async () => {
    const child = command.start(["lab", "exec", "client", "--", "sh", "-c", "echo ready; exec sleep 4242"]);
    const end = finished(child);
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    child.kill("SIGKILL");
    await end;
    await eventually(async () => expect(await command.exec("client", "ps", "ax")).not.toContain("sleep 4242"));
  });

  it("starts a process again that dies, and holds down what is stopped", async () => {
    const pid = (await status()).nodes.find(({ name }) => name === "target-1")?.processes[0]?.pid;
    await command.exec("target-1", "sh", "-c", `kill -9 ${pid}`);
    await eventually(async () => {
      expect((await status()).nodes.find(({ name }) => name === "target-1")?.processes).toMatchObject([
        { ready: true, restarts: 1 },
      ]);
    });
    expect(await command.lab("stop", "target-1")).toMatchObject({ code: 0 });
    const stopped = (await status()).nodes.find(({ name }) => name === "target-1");
    expect(stopped).toMatchObject({ stopped: true, processes: [{ state: "stopped", ready: false }] });
    expect((await command.traffic("gateway-a", "--to", "10.1.0.11:8080", "--connections", "3")).report).toMatchObject({
      lost: 3,
      refused: 3,
    });
    expect(await command.lab("start", "target-1")).toMatchObject({ code: 0 });
    await eventually(async () => expect((await status()).converged).toBe(true));
    expect(await command.lab("stop", "nobody")).toMatchObject({ code: 1, stderr: expect.stringContaining("no node") });
  });

  it("freezes a node where it is, and lets it go on", async () => {
    const states = async () =>
      (await command.exec("target-1", "sh", "-c", "ps -o stat= -p $(ip netns pids target-1 | head -1)")).trim();
    expect(await command.lab("freeze", "target-1")).toMatchObject({ code: 0 });
    expect(await states()).toMatch(/^T/);
    await eventually(async () => expect((await status()).waitingFor).toContain("target-1: echo is not ready"));
    expect(await command.lab("thaw", "target-1")).toMatchObject({ code: 0 });
    await eventually(async () => expect((await status()).converged).toBe(true));
  });

  it.each([
    ["a bridge", "target-1", "svc0", "gateway-a", "10.1.0.11"],
    ["two nodes", "client", "eth0", "client", "203.0.113.1"],
  ])("cuts a link of %s, both ways, while it stays up, and mends it", async (_, node, device, from, to) => {
    // Nobody listens there: that it refuses is a sign of life.
    const ask = async () =>
      (await command.traffic(from, "--to", `${to}:9`, "--connections", "2", "--timeout", "300")).report;
    expect(await command.lab("cut", node, device)).toMatchObject({ code: 0 });
    expect(await command.lab("cut", node, device)).toMatchObject({ code: 0 });
    expect(await ask()).toMatchObject({ lost: 2, timeouts: 2 });
    expect(await command.exec(node, "cat", `/sys/class/net/${device}/operstate`)).toBe("up\n");
    expect(await command.lab("mend", node, device)).toMatchObject({ code: 0 });
    expect(await ask()).toMatchObject({ lost: 2, refused: 2 });
    expect(await command.lab("cut", node, "eth9")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`it has ${device}`),
    });
  });

  it("deletes a Pod as Kubernetes does, and makes a new one", async () => {
    const pods = () => readFileSync(join(command.folder, "labs/default/manifests/pods.yaml"), "utf8");
    const target = async () => (await status()).nodes.find(({ name }) => name === "target-1");
    const hold = (seconds: number) => {
      const keep = ["--keep", "--connections", "5", "--interval", "50", "--duration", String(seconds)];
      return command.traffic("gateway-a", "--to", "10.1.0.11:8080", ...keep);
    };
    const before = pods();
    const held = hold(7);
    await eventually(async () =>
      expect(await command.exec("target-1", "ss", "-Htn", "state", "established")).toContain(":8080"),
    );
    const at = Date.now();
    expect(await command.lab("drain", "target-1", "--grace", "20")).toMatchObject({ code: 0 });
    const end = /deletionTimestamp: (\S+)/.exec(pods())?.[1] ?? "";
    expect(Math.abs(Date.parse(end) - at - 20_000)).toBeLessThan(5_000);
    expect(await target()).toMatchObject({ draining: true, stopped: false, processes: [{ state: "running" }] });
    expect((await command.lab("status")).stdout).toContain("target (draining)");
    expect(await command.lab("start", "target-1")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("drained"),
    });
    // It serves those that it has to their end, and who comes all the same.
    expect((await command.traffic("gateway-a", "--to", "10.1.0.11:8080", "--connections", "3")).code).toBe(0);
    expect((await held).report).toMatchObject({ held: 5, broken: [], lost: 0 });
    await eventually(async () => expect(await target()).toMatchObject({ draining: false, stopped: true }));
    expect(pods()).not.toContain("target-1");
    expect(pods()).toContain("gateway-a");
    // Its network went along.
    expect(
      (await command.traffic("gateway-a", "--to", "10.1.0.11:8080", "--connections", "2", "--timeout", "300")).report,
    ).toMatchObject({ lost: 2, refused: 0 });
    expect(await command.lab("start", "target-1")).toMatchObject({ code: 0 });
    await eventually(async () => expect((await status()).converged).toBe(true));
    expect(pods().split("---").toSorted()).toEqual(before.split("---").toSorted());

    // What still runs when the grace period is over is killed.
    const cutShort = hold(8);
    await eventually(async () =>
      expect(await command.exec("target-1", "ss", "-Htn", "state", "established")).toContain(":8080"),
    );
    expect(await command.lab("drain", "target-1", "--grace", "1", "--wait")).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("is gone"),
    });
    expect((await cutShort).report.broken).toHaveLength(5);
    expect(await command.lab("start", "target-1")).toMatchObject({ code: 0 });
    expect(await command.lab("drain", "router")).toMatchObject({ code: 1, stderr: expect.stringContaining("no Pod") });
    expect(await command.lab("drain", "target-1", "--grace", "soon")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("whole number of seconds"),
    });
    await eventually(async () => expect((await status()).converged).toBe(true));
  });

  it("prints logs", async () => {
    expect((await command.lab("logs", "target-1")).stdout).toContain("target-1 answers on TCP 8080, UDP 8080");
    expect((await command.lab("logs", "router")).stdout).toContain("Started");
  });

  it("shares the machine with another lab, and refuses a second one of its name", async () => {
    expect(await command.lab("up", "-t", topology, "--name", "other")).toMatchObject({ code: 0 });
    expect(await command.lab("up", "-t", topology)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("the lab default already runs"),
    });
    expect((await status("other")).nodes.map(({ name }) => name)).toEqual(
      (await status()).nodes.map(({ name }) => name),
    );
    expect(await command.lab("down", "--name", "other")).toMatchObject({ code: 0 });
    expect((await status()).name).toBe("default");
  });

  it("leaves nothing when it is taken down", async () => {
    expect(await command.lab("down")).toMatchObject({ code: 0, stdout: "lab default is down\n" });
    expect(machine()).toEqual(before);
    expect(existsSync(join(command.folder, "labs/default"))).toBe(false);
    expect(await command.lab("status")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("no lab named default"),
    });
  });
});

describe("a lab that is killed", () => {
  it.each(["owner", "init"] as const)(
    "leaves nothing but its folder (kill -9 of its %s), and can be started again",
    async (victim) => {
      const before = machine();
      expect(await command.lab("up", "-t", topology)).toMatchObject({ code: 0 });
      process.kill(command.info()[victim].pid, "SIGKILL");
      await eventually(() => expect(machine()).toEqual(before));
      expect(await command.lab("status")).toMatchObject({ code: 1, stderr: expect.stringContaining("was killed") });
      expect(await command.lab("up", "-t", topology)).toMatchObject({ code: 0 });
      expect(await command.lab("down")).toMatchObject({ code: 0 });
      expect(machine()).toEqual(before);
    },
  );

  it("leaves nothing when its supervisor dies", async () => {
    const before = machine();
    await command.lab("up", "-t", topology);
    // The supervisor is the child of the namespaces' first process; inside it has the number after it.
    await command.lab("exec", "client", "--", "sh", "-c", "kill -9 $(pgrep -f supervisor/main.ts)");
    await eventually(() => expect(machine()).toEqual(before));
    await command.lab("down");
  });
});

describe("a machine without user namespaces", () => {
  const limit = "/proc/sys/user/max_user_namespaces";
  it("still lets root have a lab", async () => {
    const before = machine();
    const allowed = readFileSync(limit, "utf8");
    writeFileSync(limit, "0");
    try {
      expect(await command.lab("up", "-t", topology)).toMatchObject({ code: 0, stderr: "" });
      expect((await command.exec("client", "cat", "/proc/self/uid_map")).trim()).toBe(
        readFileSync("/proc/self/uid_map", "utf8").trim(),
      );
      expect(await command.lab("down")).toMatchObject({ code: 0, stdout: "lab default is down\n" });
    } finally {
      writeFileSync(limit, allowed);
    }
    expect(machine()).toEqual(before);
  });
});

describe("lab run", () => {
  it("gives the command the lab's names, its own place outside, and passes its exit code", async () => {
    const before = machine();
    const script =
      'echo "$CAUSEWAY_LAB $LAB_TARGET_1_IPV4 $LAB_TARGET_1_IPV6 $LAB_GATEWAY_A_IPV4"; ls -d "$CAUSEWAY_MANIFESTS"; exit 5';
    const result = await command.lab("run", "-t", topology, "--name", "r", "--", "sh", "-c", script);
    expect(result).toMatchObject({ code: 5, stderr: "" });
    expect(result.stdout).toBe(`r 10.1.0.11 fd00:1::11 192.0.2.2\n${command.folder}/labs/r/manifests\n`);
    expect(machine()).toEqual(before);
  });

  it("takes the lab along when it is killed", async () => {
    const before = machine();
    const child = command.start(["lab", "run", "-t", topology, "--", "sh", "-c", "echo ready; exec sleep 60"]);
    const end = finished(child);
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    child.kill("SIGKILL");
    await end.then(() => undefined);
    await eventually(
      () => expect(machine().processes.filter((line) => !line.includes("sleep"))).toEqual(before.processes),
      20_000,
    );
  });
});

describe("a topology that cannot be built", () => {
  it("is refused with every fault, before anything is made", async () => {
    const before = machine();
    const file = command.topology(
      bareTopology().replace("role: client", "role: king").replace("asn: 65000", "asn: 0"),
      "bad",
    );
    const result = await command.lab("up", "-t", file);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("nodes.client");
    expect(result.stderr).toContain("nodes.router.asn");
    expect(machine()).toEqual(before);
  });

  it("says what the kernel lacks, or shapes the link", async () => {
    const before = machine();
    const file = command.topology(
      bareTopology().replace("interface: svc0,", "interface: svc0, link: { delayMs: 20 },"),
      "slow",
    );
    const result = await command.lab("up", "-t", file);
    if (result.code === 0) {
      const { report } = await command.traffic("gateway-a", "--to", "10.1.0.11:8080", "--connections", "3");
      expect(report.latencyMs.p50).toBeGreaterThan(35);
      await command.lab("down");
    } else {
      expect(result.stderr).toMatch(/no netem, which `link` needs; load it \(modprobe sch_netem\) or remove `link`/);
    }
    await eventually(() => expect(machine()).toEqual(before));
  });

  it("must have manifests", async () => {
    const result = await command.lab("up", "-t", command.topology(`${bareTopology()}manifests: elsewhere\n`, "empty"));
    expect(result).toMatchObject({ code: 1, stderr: expect.stringContaining("cannot copy the manifests") });
  });
});

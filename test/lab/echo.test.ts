import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bareTopology, LabCommand } from "./bare-lab.ts";

const VIPS = { 4: "198.51.100.7", 6: "2001:db8:100::7" } as const;

const command = new LabCommand();
beforeAll(async () => {
  expect(await command.lab("up", "-t", command.topology(bareTopology()), "--wait")).toMatchObject({ code: 0 });
  await command.exec("gateway-a", "ip", "route", "add", `${VIPS[4]}/32`, "via", "10.1.0.11");
  await command.exec("gateway-a", "ip", "route", "add", `${VIPS[6]}/128`, "via", "fd00:1::11");
});
afterAll(() => command.remove());

describe.each([4, 6] as const)("echo, IPv%i", (family) => {
  const to = (address: string) => (family === 6 ? `[${address}]:8080` : `${address}:8080`);

  it.each(["tcp", "udp"])("answers %s at the target's own address", async (protocol) => {
    const own = to(family === 4 ? "10.1.0.11" : "fd00:1::11");
    const { code, report } = await command.traffic(
      "gateway-a",
      "--to",
      own,
      "--protocol",
      protocol,
      "--connections",
      "200",
    );
    expect(report).toMatchObject({ sent: 200, answered: 200, lost: 0, targets: { "target-1": 200 } });
    expect(code).toBe(0);
  });

  it("answers at a VIP on the loopback from the moment it is there, with the VIP as source", async () => {
    // Traffic begins before the VIP exists and goes on: datagrams after its arrival are all answered. The client's
    // sockets are connected, so an answer from any other address would count as lost.
    const length = family === 4 ? 32 : 128;
    await command.exec(
      "target-1",
      "ip",
      "address",
      "add",
      `${VIPS[family]}/${length}`,
      "dev",
      "lo",
      ...(family === 6 ? ["nodad"] : []),
    );
    const { code, report } = await command.traffic(
      "gateway-a",
      "--to",
      to(VIPS[family]),
      "--protocol",
      "udp",
      "--connections",
      "400",
      "--concurrency",
      "1",
      "--timeout",
      "1000",
    );
    expect(report).toMatchObject({ sent: 400, answered: 400, lost: 0, targets: { "target-1": 400 } });
    expect(code).toBe(0);
    expect((await command.traffic("gateway-a", "--to", to(VIPS[family]), "--connections", "200")).report).toMatchObject(
      { answered: 200 },
    );
  });

  it("carries payloads of many fragments", async () => {
    const { report } = await command.traffic(
      "gateway-a",
      "--to",
      to(VIPS[family]),
      "--protocol",
      "udp",
      "--connections",
      "20",
      "--payload",
      "20000",
    );
    expect(report).toMatchObject({ answered: 20, lost: 0 });
  });

  it("stops answering when the VIP goes", async () => {
    await command.exec("target-1", "ip", "address", "del", `${VIPS[family]}/${family === 4 ? 32 : 128}`, "dev", "lo");
    const { code, report } = await command.traffic(
      "gateway-a",
      "--to",
      to(VIPS[family]),
      "--protocol",
      "udp",
      "--connections",
      "5",
      "--timeout",
      "300",
    );
    expect(report).toMatchObject({ answered: 0, lost: 5 });
    expect(code).toBe(1);
  });
});

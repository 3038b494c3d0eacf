import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bareTopology, eventually, LabCommand } from "./bare-lab.ts";

/** A gateway as the router sees one: announces one VIP of each family, and one prefix that is in no pool. */
function speaker(number: number): string {
  const four = `192.0.2.${number + 2}`;
  const six = `2001:db8:e::${number + 2}`;
  return `
router id ${four};
protocol device {}
protocol static s4 { ipv4; route 198.51.100.1/32 blackhole; route 10.66.0.0/16 blackhole; }
protocol static s6 { ipv6; route 2001:db8:100::1/128 blackhole; route 2001:db8:bad::/48 blackhole; }
protocol bgp four { local ${four} as 64512; neighbor 192.0.2.1 as 65000; password "s3cret"; connect delay time 1; ipv4 { import all; export where source = RTS_STATIC; next hop self; }; }
protocol bgp six { local ${six} as 64512; neighbor 2001:db8:e::1 as 65000; password "s3cret"; connect delay time 1; ipv6 { import all; export where source = RTS_STATIC; next hop self; }; }
`;
}

const command = new LabCommand();
beforeAll(async () => {
  const extra = Object.fromEntries(
    ["gateway-a", "gateway-b"].map((node, index) => {
      const file = join(command.folder, `${node}.conf`);
      writeFileSync(file, speaker(index));
      const bird = JSON.stringify([
        "bird",
        "-f",
        "-c",
        file,
        "-s",
        `/run/bird/${node}.ctl`,
        "-P",
        `/run/bird/${node}.pid`,
      ]);
      return [node, `, processes: [{ name: speaker, command: ${bird} }]`];
    }),
  );
  const text = bareTopology(extra).replace("bgp: {", "bgp: { password: s3cret,");
  expect(await command.lab("up", "-t", command.topology(text))).toMatchObject({ code: 0, stderr: "" });
});
afterAll(() => command.remove());

describe("the router", () => {
  it("spreads each VIP over both gateways in its kernel, takes nothing outside the pools, and announces defaults", async () => {
    await eventually(async () => {
      const four = await command.exec("router", "ip", "route", "show", "proto", "bird");
      expect(four.match(/nexthop via 192\.0\.2\.[23] /g)).toHaveLength(2);
      const six = await command.exec("router", "ip", "-6", "route", "show", "proto", "bird");
      expect(six.match(/nexthop via \S+ dev ext0/g)).toHaveLength(2);
      expect(four + six).not.toMatch(/10\.66|db8:bad/);
      expect(four).toContain("198.51.100.1");
      expect(six).toContain("2001:db8:100::1");
    }, 20_000);
    for (const [channel, route] of [
      ["four", "0.0.0.0/0"],
      ["six", "::/0"],
    ] as const) {
      const shown = await command.exec(
        "gateway-a",
        "birdc",
        "-s",
        "/run/bird/gateway-a.ctl",
        "show",
        "route",
        "protocol",
        channel,
      );
      expect(shown).toContain(route);
    }
  });

  it("answers to birdc without further words", async () => {
    expect(await command.exec("router", "birdc", "show", "protocols")).toMatch(/gateway_b_ipv6 +BGP .* Established/);
  });

  it("lets go of a gateway that is stopped", async () => {
    await command.lab("stop", "gateway-a");
    await eventually(async () => {
      expect(await command.exec("router", "ip", "route", "show", "198.51.100.1")).toMatch(
        /^198\.51\.100\.1 via 192\.0\.2\.3 /,
      );
    }, 20_000);
  });
});

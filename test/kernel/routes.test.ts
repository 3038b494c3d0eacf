import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  KernelBusyError,
  KernelExistsError,
  KernelInvalidError,
  KernelNotFoundError,
} from "#shared/kernel/kernel-error.ts";
import { getLink } from "#shared/kernel/links.ts";
import { type NetlinkSocket, openNetlink } from "#shared/kernel/netlink-socket.ts";
import { writeSysctl } from "#shared/kernel/network-namespace.ts";
import { planRoutes } from "#shared/kernel/plan-routes.ts";
import { lookupRoute } from "#shared/kernel/route-lookup.ts";
import {
  addRoute,
  applyRoutes,
  canonicalRoute,
  deleteRoute,
  listRoutes,
  type Route,
  replaceRoute,
  routeText,
} from "#shared/kernel/routes.ts";
import { makeTestbed, type Testbed } from "./testbed.ts";

const TABLE = 4_000_000_100;
const PROTOCOL = 77;
let bed: Testbed;
let socket: NetlinkSocket;
let a0: number;
let a1: number;

beforeAll(() => {
  bed = makeTestbed("routes");
  socket = openNetlink({ netns: bed.netns });
  a0 = getLink(socket, "a0").ifindex;
  a1 = getLink(socket, "a1").ifindex;
});
afterAll(() => {
  socket.close();
  bed.remove();
});

function listed(table = TABLE): string[] {
  return listRoutes(socket, { table, protocol: PROTOCOL }).map(routeText).sort();
}

function route(destination: string, gateways: readonly string[], more: Partial<Route> = {}): Route {
  return { destination, table: TABLE, protocol: PROTOCOL, nextHops: gateways.map((gateway) => ({ gateway })), ...more };
}

/** The kernel fills the device in. */
function withDevice(wanted: Route): string {
  const nextHops = wanted.nextHops.map((hop) => ({
    ...hop,
    ifindex: hop.ifindex ?? (/^(10\.9\.0|fd09:0?:)/.test(hop.gateway ?? "") ? a0 : a1),
  }));
  return routeText(canonicalRoute({ ...wanted, nextHops }));
}

describe("routes", () => {
  test.each<[string, () => Route]>([
    ["IPv4 gateway", () => route("10.50.0.0/24", ["10.9.0.2"], { metric: 7 })],
    ["IPv4 device", () => route("10.51.0.0/24", [], { nextHops: [{ ifindex: a0 }] })],
    [
      "IPv4 onlink, source, MTU",
      () =>
        route("0.0.0.0/0", [], {
          nextHops: [{ gateway: "172.31.0.1", ifindex: a0, onlink: true }],
          preferredSource: "10.9.0.1",
          mtu: 1400,
        }),
    ],
    ["IPv4 by IPv6 gateway", () => route("10.52.0.0/24", [], { nextHops: [{ gateway: "fd09:1::2", ifindex: a1 }] })],
    [
      "IPv4 multipath",
      () =>
        route("10.53.0.0/24", [], {
          nextHops: [
            { gateway: "10.9.0.2", weight: 3 },
            { gateway: "10.9.1.2", weight: 256 },
          ],
        }),
    ],
    ["IPv4 unreachable", () => route("10.54.0.0/24", [], { type: "unreachable" })],
    ["IPv4 blackhole", () => route("10.55.0.1/32", [], { type: "blackhole" })],
    ["IPv4 local", () => route("10.56.0.1/32", [], { type: "local", nextHops: [{ ifindex: 1 }] })],
    ["IPv6 gateway", () => route("fd50::/64", ["fd09:1::2"])],
    [
      "IPv6 default, multipath",
      () => route("::/0", [], { nextHops: [{ gateway: "fd09:0::2", weight: 5 }, { gateway: "fd09:1::2" }], metric: 9 }),
    ],
    ["IPv6 unreachable", () => route("fd51::/64", [], { type: "unreachable" })],
    ["IPv6 local", () => route("fd52::1/128", [], { type: "local", nextHops: [{ ifindex: 1 }] })],
  ])("adds, lists and deletes: %s", (_name, make) => {
    const wanted = make();
    addRoute(socket, wanted);
    expect(listed()).toEqual([withDevice(wanted)]);
    const family = wanted.destination.includes(":") ? "-6" : "-4";
    expect(bed.ipJson(family, "-N", "route", "show", "table", `${TABLE}`)).toHaveLength(1);
    expect(() => addRoute(socket, wanted)).toThrow(KernelExistsError);
    deleteRoute(socket, wanted);
    expect(listed()).toEqual([]);
    expect(() => deleteRoute(socket, wanted)).toThrow(KernelNotFoundError);
  });

  test("agrees with ip -j on every route there is", () => {
    const count =
      bed.ipJson("-4", "route", "show", "table", "all").length +
      bed.ipJson("-6", "route", "show", "table", "all").length;
    expect(listRoutes(socket)).toHaveLength(count);
    expect(listRoutes(socket, { table: 3_999_999_999 })).toEqual([]);
  });

  test("errors name the object and carry the kernel's explanation", () => {
    const bad = route("10.60.0.0/24", ["192.168.77.1"]);
    expect(() => addRoute(socket, bad)).toThrow(/route 10\.60\.0\.0\/24 table 4000000100.*invalid gateway/);
    expect(() => addRoute(socket, route("10.60.0.1/24", ["10.9.0.2"]))).toThrow(KernelInvalidError);
    const failures = applyRoutes(socket, {
      add: [
        route("10.60.0.1/24", ["10.9.0.2"]),
        route("10.61.0.0/24", ["10.9.0.2"]),
        bad,
        route("10.62.0.0/24", ["x"]),
      ],
      replace: [],
      delete: [],
    });
    expect(failures.map(({ object }) => object.destination)).toEqual(["10.60.0.1/24", "10.60.0.0/24", "10.62.0.0/24"]);
    expect(listed()).toEqual([withDevice(route("10.61.0.0/24", ["10.9.0.2"]))]);
    expect(applyRoutes(socket, planRoutes([], listRoutes(socket, { table: TABLE })))).toEqual([]);
  });

  test("replace of an IPv6 ECMP route leaves no stale sibling, whatever the shapes", () => {
    const gateways = ["fd09:0::2", "fd09:0::3", "fd09:1::2", "fd09:1::3"];
    const shapes: Route[] = [
      route("fd60::/64", ["fd09:0::2", "fd09:0::3", "fd09:1::2"]),
      route("fd60::/64", ["fd09:1::3"]),
      route("fd60::/64", ["fd09:0::3", "fd09:1::3"]),
      route("fd60::/64", [], { nextHops: [{ ifindex: a0 }] }),
      route("fd60::/64", gateways),
      route("fd60::/64", [], { type: "unreachable" }),
      route("fd60::/64", gateways.slice(1)),
      route("fd60::/64", [], { nextHops: gateways.map((gateway, index) => ({ gateway, weight: index + 1 })) }),
    ];
    for (const from of shapes) {
      for (const to of shapes) {
        replaceRoute(socket, from);
        expect(listed()).toEqual([withDevice(from)]);
        const actual = listRoutes(socket, { table: TABLE });
        const wanted = canonicalRoute({ ...to, nextHops: canonicalRoute(JSON.parse(JSON.stringify(to))).nextHops });
        expect(applyRoutes(socket, planRoutes([wanted], actual))).toEqual([]);
        expect(listed()).toEqual([withDevice(to)]);
        deleteRoute(socket, to);
        expect(listed()).toEqual([]);
      }
    }
  });

  test("a gateway route and another of one IPv6 key are told apart", () => {
    bed.ip("-6", "route", "add", "unreachable", "fd61::/64", "metric", "50", "table", `${TABLE}`, "proto", "77");
    bed.ip(
      "-6",
      "route",
      "append",
      "fd61::/64",
      "via",
      "fd09:0::2",
      "metric",
      "50",
      "table",
      `${TABLE}`,
      "proto",
      "77",
    );
    const wanted = route("fd61::/64", [], { metric: 50, nextHops: [{ gateway: "fd09:1::2", ifindex: a1 }] });
    const plan = planRoutes([wanted], listRoutes(socket, { table: TABLE }));
    expect(plan.replace).toHaveLength(1);
    expect(plan.delete).toHaveLength(1);
    expect(applyRoutes(socket, plan)).toEqual([]);
    expect(listed()).toEqual([withDevice(wanted)]);
    deleteRoute(socket, wanted);
  });

  test("looks routes up as packets would go", () => {
    addRoute(socket, route("10.70.0.0/24", ["10.9.1.2"], { table: 254, mtu: 1300 }));
    expect(lookupRoute(socket, "10.70.0.9")).toMatchObject({
      reachable: true,
      gateway: "10.9.1.2",
      ifindex: a1,
      mtu: 1300,
      table: 254,
      preferredSource: "10.9.1.1",
    });
    expect(lookupRoute(socket, "fd09:0::2")).toMatchObject({
      reachable: true,
      gateway: undefined,
      ifindex: a0,
      mtu: 1500,
    });
    expect(lookupRoute(socket, "8.8.8.8")).toEqual({ reachable: false, code: "ENETUNREACH" });
    addRoute(socket, route("fd71::/64", [], { table: 254, type: "unreachable" }));
    addRoute(socket, route("10.71.0.0/24", [], { table: 254, type: "prohibit" }));
    addRoute(socket, route("10.72.0.0/24", [], { table: 254, type: "blackhole" }));
    expect(lookupRoute(socket, "fd71::1")).toEqual({ reachable: false, code: "EHOSTUNREACH" });
    expect(lookupRoute(socket, "10.71.0.1")).toEqual({ reachable: false, code: "EACCES" });
    expect(() => lookupRoute(socket, "10.72.0.1")).toThrow(KernelInvalidError);
    expect(lookupRoute(socket, "2001:db8::1")).toEqual({ reachable: false, code: "ENETUNREACH" });
    writeSysctl(bed.netns, "net/ipv4/conf/a0/forwarding", 1); // a lookup for an arriving packet is one for forwarding
    bed.ip("rule", "add", "fwmark", "0x5", "table", "300", "pref", "10");
    addRoute(socket, route("8.8.8.8/32", ["10.9.0.2"], { table: 300 }));
    expect(lookupRoute(socket, "8.8.8.8", { mark: 5, from: "10.9.1.1" })).toMatchObject({
      gateway: "10.9.0.2",
      table: 300,
    });
    expect(lookupRoute(socket, "8.8.8.8", { mark: 5, from: "10.9.0.7", iif: a0 })).toMatchObject({
      gateway: "10.9.0.2",
    });
  });

  test("is not hung by a kernel that does not answer", () => {
    const impatient = openNetlink({ netns: bed.netns, timeoutMs: 50 });
    // NLMSG_NOOP is not answered when it asks for nothing.
    const silent = { type: 1, flags: 0, describe: () => "nothing", write: () => undefined };
    expect(() => impatient.query(silent, () => 1)).toThrow(KernelBusyError);
    impatient.close();
    expect(() => getLink(impatient, "a0")).toThrow(/closed/);
  });
});

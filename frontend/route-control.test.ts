import { beforeEach, describe, expect, it } from "vitest";
import { type Cidr, ip } from "#shared/net/ip.ts";
import type { LearnedPath } from "./bgp-speaker.ts";
import type { PeerState } from "./peer-state.ts";
import type { ReturnRoute } from "./return-routes.ts";
import { RouteControl } from "./route-control.ts";
import { learned, session, state } from "./routers.fixture.ts";

const ROUTERS = ["192.0.2.1", "192.0.2.2"];
const INTERFACES = [{ name: "ext", addresses: [{ address: ip("192.0.2.10"), prefixLength: 24 }] }];
const DESIRED = state(ROUTERS.map(session));
const routeOf = (router: string): LearnedPath => learned(router, "0.0.0.0/0");
const silent = (): undefined => undefined;

describe("return routes after a start", () => {
  let present: Map<Cidr, ReturnRoute>;
  let control: RouteControl;
  beforeEach(() => {
    present = new Map();
    control = new RouteControl(
      {
        list: async () => [...present.values()],
        replace: async (route) => void present.set(route.prefix, route),
        remove: async (prefix) => void present.delete(prefix),
      },
      { debug: silent, info: silent, warn: silent, error: silent },
    );
    control.hold(0);
  });

  const pass = (nowMs: number, up: readonly string[], paths: readonly LearnedPath[]): Promise<number | undefined> => {
    const states = ROUTERS.map(
      (router): PeerState => ({
        name: router,
        address: ip(router),
        family: 4,
        state: up.includes(router) ? "Established" : "Connecting",
        sinceMs: 0,
        message: "",
        isStatic: false,
      }),
    );
    return control.converge(DESIRED, INTERFACES, states, paths, nowMs);
  };
  const hops = (): string[] => [...present.values()].flatMap(({ nextHops }) => nextHops.map(({ via }) => via));

  it("stay as they were for a router that has not spoken, for 10 s", async () => {
    await pass(0, ROUTERS, ROUTERS.map(routeOf));
    control.hold(100);
    await pass(200, [], []);
    expect(hops()).toEqual(ROUTERS);
    await pass(9_000, ROUTERS.slice(0, 1), [routeOf("192.0.2.1")]);
    expect(hops()).toEqual(ROUTERS);
    await pass(10_200, ROUTERS.slice(0, 1), [routeOf("192.0.2.1")]);
    expect(hops()).toEqual(["192.0.2.1"]);
  });

  it("go with a router that spoke and went before its session was ever seen up", async () => {
    await pass(0, ["192.0.2.1"], ROUTERS.map(routeOf));
    expect(hops()).toEqual(ROUTERS);
    await pass(1_100, ["192.0.2.1"], [routeOf("192.0.2.1")]);
    expect(hops()).toEqual(["192.0.2.1"]);
  });
});

import { RETURN_TABLE, ROUTE_PROTOCOL } from "#shared/instance/marks.ts";
import { listAddresses } from "#shared/kernel/addresses.ts";
import { KernelNotFoundError } from "#shared/kernel/kernel-error.ts";
import { listLinks } from "#shared/kernel/links.ts";
import type { NetlinkSocket } from "#shared/kernel/netlink-socket.ts";
import { deleteRoute, listRoutes, type Route, replaceRoute } from "#shared/kernel/routes.ts";
import { type Cidr, cidr, ip } from "#shared/net/ip.ts";
import type { ExternalInterface } from "./external-interface.ts";
import type { ReturnRoute, ReturnRoutes } from "./return-routes.ts";

/** The interfaces of those names that exist, with their usable addresses: global, verified unique, in order. */
export function readInterfaces(socket: NetlinkSocket, names: readonly string[]): ExternalInterface[] {
  const links = listLinks(socket);
  const addresses = listAddresses(socket);
  return names.flatMap((name) => {
    const link = links.find((candidate) => candidate.name === name);
    if (link === undefined) return [];
    const usable = addresses.filter(
      (a) => a.ifindex === link.ifindex && a.scope === "global" && !a.tentative && !a.duplicate,
    );
    return [{ name, addresses: usable.map((a) => ({ address: ip(a.address), prefixLength: a.prefixLength })) }];
  });
}

/** The return table in the kernel; only routes with our protocol number are ours. */
export class KernelReturnRoutes implements ReturnRoutes {
  readonly #socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  async list(): Promise<readonly ReturnRoute[]> {
    const names = new Map(listLinks(this.#socket).map((link) => [link.ifindex, link.name]));
    return this.#ours().map(({ destination, nextHops }) => ({
      prefix: cidr(destination),
      nextHops: nextHops.flatMap(({ gateway, ifindex }) => {
        const device = ifindex === undefined ? undefined : names.get(ifindex);
        return gateway === undefined || device === undefined ? [] : [{ via: ip(gateway), device }];
      }),
    }));
  }

  async replace(route: ReturnRoute): Promise<void> {
    const ifindexes = new Map(listLinks(this.#socket).map((link) => [link.name, link.ifindex]));
    const nextHops = route.nextHops.map(({ via, device }) => {
      const ifindex = ifindexes.get(device);
      if (ifindex === undefined) throw new KernelNotFoundError(`link ${device}`, "ENODEV", "does not exist");
      return { gateway: via, ifindex };
    });
    replaceRoute(this.#socket, {
      destination: route.prefix,
      table: RETURN_TABLE,
      protocol: ROUTE_PROTOCOL,
      nextHops,
    });
  }

  async remove(prefix: Cidr): Promise<void> {
    for (const route of this.#ours()) {
      if (route.destination !== prefix) continue;
      try {
        deleteRoute(this.#socket, route);
      } catch (error) {
        // The kernel takes routes away by itself when their device goes.
        if (!(error instanceof KernelNotFoundError)) throw error;
      }
    }
  }

  #ours(): readonly Route[] {
    return listRoutes(this.#socket, { table: RETURN_TABLE, protocol: ROUTE_PROTOCOL });
  }
}

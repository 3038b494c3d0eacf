import { familyOf, parseIp } from "#shared/net/ip.ts";
import type { NodeStatus, ServiceStatus, SessionStatus, TargetStatus, VipStatus } from "../lab-status.ts";
import type { ResolvedTopology } from "../resolve-topology.ts";
import type { InstanceStatus } from "./instance-status.ts";

export interface Observation {
  readonly topology: ResolvedTopology;
  readonly nodes: readonly NodeStatus[];
  /** Processes that belong to no node. */
  readonly instances: readonly InstanceStatus[];
  /** Per router: from prefix to the nodes that its kernel sends it to. */
  readonly routes: ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;
}

export interface Convergence {
  readonly waitingFor: readonly string[];
  readonly sessions: readonly SessionStatus[];
  readonly vips: readonly VipStatus[];
  readonly services: readonly ServiceStatus[];
  readonly targets: readonly TargetStatus[];
}

/**
 * What a lab still waits for. Converged is: every process that is not held down is ready, every session is established,
 * no target is arriving, every Gateway has a VIP of each family that has a pool, and every VIP with targets is in each
 * router's kernel with all live instances as next hops. Pure.
 */
export function convergence({ topology, nodes, instances, routes }: Observation): Convergence {
  const waitingFor: string[] = [];
  for (const node of nodes) {
    if (node.stopped) continue;
    if (node.draining) {
      waitingFor.push(`${node.name} is being drained`);
      continue;
    }
    for (const process of node.processes) {
      if (process.state !== "stopped" && !process.ready) waitingFor.push(`${node.name}: ${process.name} is not ready`);
    }
  }
  const live = instances.filter(({ node }) => isLive(nodes, node));
  for (const { node, faults, proxy } of live) {
    waitingFor.push(...faults);
    const arriving = (proxy?.targets ?? []).filter(({ state }) => state === "arriving");
    waitingFor.push(...arriving.map(({ name }) => `${node}: target ${name} does not answer for its VIPs yet`));
  }
  const sessions = live.flatMap(({ node, frontend }) =>
    (frontend?.peers ?? []).map(
      ({ name, address, family, state }): SessionStatus => ({ node, peer: name, address, family, state }),
    ),
  );
  for (const { node, peer, state } of sessions) {
    if (state !== "Established" && state !== "Static") waitingFor.push(`${node}: the session with ${peer} is ${state}`);
  }
  const vips = vipsOf(topology, live, routes);
  for (const { address, router, expected, nextHops } of vips) {
    for (const node of expected)
      if (!nextHops.includes(node)) waitingFor.push(`${router} has no route to ${address} via ${node}`);
    for (const node of nextHops)
      if (!expected.includes(node)) waitingFor.push(`${router} still routes ${address} via ${node}`);
  }
  waitingFor.push(...missingFamilies(topology, live, vips));
  return { waitingFor: [...new Set(waitingFor)], sessions, vips, services: servicesOf(live), targets: targetsOf(live) };
}

function isLive(nodes: readonly NodeStatus[], name: string): boolean {
  const node = nodes.find((candidate) => candidate.name === name);
  return node !== undefined && !node.stopped && !node.draining && node.processes.length > 0;
}

function gatewaysOf(instances: readonly InstanceStatus[]): string[] {
  return [...new Set(instances.map(({ gateway }) => gateway))];
}

function routersOf(topology: ResolvedTopology, nodes: readonly string[]): string[] {
  const near = topology.segments.filter(({ attachments }) => attachments.some(({ node }) => nodes.includes(node)));
  const names = near.flatMap(({ attachments }) => attachments.map(({ node }) => node));
  return [...new Set(names.filter((name) => topology.spec.nodes[name]?.role === "router"))];
}

function vipsOf(
  topology: ResolvedTopology,
  live: readonly InstanceStatus[],
  routes: Observation["routes"],
): VipStatus[] {
  return gatewaysOf(live).flatMap((gateway) => {
    const instances = live.filter((instance) => instance.gateway === gateway);
    const nodes = instances.map(({ node }) => node);
    const vips = instances.flatMap(({ proxy }) => proxy?.vips ?? []);
    const all = new Set(vips.map(({ address }) => address));
    const served = new Set(vips.filter(({ ready }) => ready).map(({ address }) => address));
    return routersOf(topology, nodes).flatMap((router) =>
      [...all].sort().map((address): VipStatus => {
        const prefix = `${address}/${address.includes(":") ? 128 : 32}`;
        return {
          address,
          gateway,
          router,
          expected: served.has(address) ? nodes : [],
          nextHops: [...(routes.get(router)?.get(prefix) ?? [])],
        };
      }),
    );
  });
}

function missingFamilies(
  topology: ResolvedTopology,
  live: readonly InstanceStatus[],
  vips: readonly VipStatus[],
): string[] {
  const families = new Set((topology.spec.bgp?.pools ?? []).map(familyOf));
  return gatewaysOf(live).flatMap((gateway) =>
    [...families]
      .filter((family) => {
        return !vips.some((vip) => {
          const address = parseIp(vip.address);
          return (
            vip.gateway === gateway && vip.expected.length > 0 && address !== undefined && familyOf(address) === family
          );
        });
      })
      .map((family) => `Gateway ${gateway} has no IPv${family} VIP with targets`),
  );
}

function servicesOf(live: readonly InstanceStatus[]): ServiceStatus[] {
  return live.flatMap(({ node, gateway, proxy }) =>
    (proxy?.services ?? []).map(({ name, vips, ports, protocols, readyTargets, packets, bytes }) => {
      return { node, gateway, name, vips, ports, protocols, readyTargets, packets, bytes };
    }),
  );
}

function targetsOf(live: readonly InstanceStatus[]): TargetStatus[] {
  return live.flatMap(({ node, proxy }) =>
    (proxy?.targets ?? []).map(({ name, packets, bytes }) => ({ node, name, packets, bytes })),
  );
}

import { FAMILIES, type Family, type Ip } from "#shared/net/ip.ts";
import type { PodNetwork } from "./desired-pod-network.ts";
import type { PodOutcome } from "./pod-kernel.ts";

/** The VIPs and next hops of a pod in the words of `GET /status`. */
export interface PodStatus {
  readonly pod: string;
  readonly netns: string;
  readonly vips: readonly Ip[];
  readonly returnVia: readonly {
    readonly gateway: string;
    readonly family: Family;
    readonly nextHops: readonly string[];
    /** Instances that are left out because they do not answer. */
    readonly silent?: readonly string[];
    /** No instance is live: these are the last that were. */
    readonly kept?: true;
  }[];
  /** The pod is a member of a service group: whose RTPS is kept out of it, or alone let in. */
  readonly filter?: {
    readonly kind: "block" | "allow";
    /** Participants, each at one of its addresses. */
    readonly senders: number;
    /** Datagrams that were dropped since the filter was made. */
    readonly keptOut?: number;
  };
  readonly problem?: string;
}

export function statusOf(pod: string, netns: string, wanted: PodNetwork, outcome: PodOutcome): PodStatus {
  const problems = [...wanted.problems, ...outcome.problems];
  return {
    pod,
    netns,
    vips: wanted.vips,
    returnVia: wanted.paths.flatMap((path) =>
      FAMILIES.flatMap((family): PodStatus["returnVia"] => {
        const { gateway } = path;
        const known = path.families[family];
        if (known === undefined) return [];
        const nextHops = known.nextHops.map(({ address }) => address);
        const silent = known.silent?.map(({ address }) => address);
        if (nextHops.length > 0) return [{ gateway, family, nextHops, ...(silent ? { silent } : {}) }];
        const kept = outcome.kept.find((k) => k.path === path && k.family === family)?.addresses ?? [];
        return [{ gateway, family, nextHops: kept, kept: true }];
      }),
    ),
    ...(wanted.filter === undefined
      ? {}
      : { filter: { kind: wanted.filter.rules.kind, senders: wanted.filter.rules.senders.length } }),
    ...(problems.length > 0 ? { problem: problems.join("; ") } : {}),
  };
}

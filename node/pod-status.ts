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
    ...(problems.length > 0 ? { problem: problems.join("; ") } : {}),
  };
}

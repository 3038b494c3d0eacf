import type { GuidPrefix, Header, ReadParticipantData } from "rtps-wire";
import type { Ip } from "#shared/net/ip.ts";

/** Where a datagram can be sent to. A link-local address has its zone, `fe80::1%net1`. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** A participant as it announced itself last. Never changes: one that announces something else is another object. */
export interface Participant {
  /** Differs from that of every other participant of a DiscoveryDomain. */
  readonly key: string;
  readonly domainId: number;
  /** Empty: none. */
  readonly domainTag: string;
  readonly guidPrefix: GuidPrefix;
  readonly header: Header;
  /** Sequence number of the announcement; of one that is gone, the highest that it has sent. */
  readonly writerSn: bigint;
  readonly data: ReadParticipantData;
  /** The announcement as a message of its own, as it came. */
  readonly announcement: Uint8Array;
  /** Metatraffic unicast locators at which it is known to be: of an address that it has sent from, or of its pod. */
  readonly endpoints: readonly Endpoint[];
  /** Where it sent from; of one that a sister has heard, where it is as far as can be told. */
  readonly source: Ip;
  readonly heardFrom: "participant" | "sister";
  /** `namespace/name` of the network of ours that it is on; undefined: it is behind a router. */
  readonly network: string | undefined;
  /** `namespace/name` of the pod that has its address; undefined: none, or not known yet. */
  readonly pod: string | undefined;
}

/** It said so itself, its pod has ended, its lease ran out, or it is served no longer. */
export type GoneReason = "departed" | "pod-gone" | "lease-expired" | "not-served";

export type ParticipantEvent =
  | { readonly type: "seen" | "changed"; readonly participant: Participant }
  | {
      readonly type: "gone";
      readonly participant: Participant;
      readonly reason: GoneReason;
      /** What was said of it, by itself or by a sister, to be passed on. */
      readonly message?: Uint8Array;
    };

import type { HealthCheck } from "#shared/api/health-check.ts";
import type { Ip } from "#shared/net/ip.ts";
import type { TargetHealth, Thresholds } from "./target-health.ts";

/** One address that is asked one question again and again. */
export interface ProbeSpec extends Thresholds {
  /** All that makes it what it is: a difference in question or pace is another probe. */
  readonly id: string;
  readonly address: Ip;
  /** The instance's interface to the service network. */
  readonly interface: string;
  readonly type: HealthCheck["spec"]["type"];
  /** 0 for ICMP. */
  readonly port: number;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** HTTP: the whole request. UDP: the datagram. */
  readonly payload: string;
  /** UDP: what the answer must begin with. */
  readonly answer: string;
  /** It gets no new flows and need only be there: whatever it says will do, but for silence. */
  readonly leaving: boolean;
}

/** A probe, and what its target is taken for until it has been asked. */
export interface WantedProbe extends ProbeSpec {
  readonly initial: TargetHealth["state"];
}

/** What is known of one probe's target. */
export interface ProbeReport {
  readonly id: string;
  readonly state: TargetHealth["state"];
  readonly falls: number;
  /** The last failure, or why nothing could be asked. */
  readonly message: string;
}

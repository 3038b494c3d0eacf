import { existsSync } from "node:fs";
import { join } from "node:path";
import { VENDORS_FOLDER, VendorProgram } from "../../../packages/rtps-wire/test/vendor-program.ts";

/*
 * Participants of real vendors in pods. RTI Connext takes part where CONNEXT_FOLDER names a folder in which the npm package
 * rticonnextdds-connector was installed.
 */

export type Vendor = "cyclone" | "fast" | "connext";

export const CONNEXT_FOLDER = process.env.CONNEXT_FOLDER ?? "";
export const HAS_CONNEXT = existsSync(join(CONNEXT_FOLDER, "node_modules", "rticonnextdds-connector"));
export const VENDORS: readonly Vendor[] = HAS_CONNEXT ? ["cyclone", "fast", "connext"] : ["cyclone", "fast"];

export interface Programs {
  readonly cyclone: string;
  readonly fast: string;
}

export interface ParticipantOptions {
  readonly role?: "pub" | "sub" | "none";
  /** Whose samples are to be told apart: instance of a publisher, 1 to 9. */
  readonly id?: number;
  /** A subscriber that asks for no durability, deadline or liveliness. */
  readonly plain?: boolean;
  readonly domainId?: number;
  /** Of Cyclone only. */
  readonly tag?: string;
  /** Address of a relay, which is then the only peer; without one, announcements go to the multicast group. */
  readonly peer?: string;
  readonly family?: 4 | 6;
  /** Of Fast DDS: folder of the keys of a secured participant. */
  readonly keys?: string;
  /** Of Fast DDS: file with an XML profile. */
  readonly profile?: string;
  /** Of Cyclone and Fast DDS: the instance that is written, with a number in each sample, and each sample is printed. */
  readonly numbered?: number;
}

function cycloneUri({ peer, tag = "", family = 4 }: ParticipantOptions, domainId: number): string {
  const port = 7400 + 250 * domainId;
  const at = peer?.includes(":") ? `[${peer}]:${port}` : `${peer}:${port}`;
  const general = [
    family === 6 ? "<Transport>udp6</Transport>" : "",
    peer === undefined ? "" : "<AllowMulticast>false</AllowMulticast>",
  ].join("");
  const discovery = [
    tag === "" ? "" : `<Tag>${tag}</Tag>`,
    peer === undefined ? "" : `<ParticipantIndex>auto</ParticipantIndex><Peers><Peer address="${at}"/></Peers>`,
  ].join("");
  return `<CycloneDDS><Domain><General>${general}</General><Discovery>${discovery}</Discovery></Domain></CycloneDDS>`;
}

/** Where a participant runs: a network namespace, or a command that enters one. */
export interface VendorPlace {
  readonly namespace: string | readonly string[];
}

/** Starts a participant; it lives for a minute, a numbered one for three, or until it is disposed of. */
export function participant(
  programs: Programs,
  vendor: Vendor,
  pod: VendorPlace,
  options: ParticipantOptions = {},
): VendorProgram {
  const { domainId = 0, family = 4, peer, role = "sub" } = options;
  const about = [String(domainId), role, options.numbered === undefined ? "60" : "180", "16", "16"];
  const environment = {
    ID: String(options.id ?? 1),
    ...(options.plain === true ? { PLAIN: "1" } : {}),
    ...(options.numbered === undefined ? {} : { NUMBERED: String(options.numbered) }),
  };
  if (vendor === "cyclone") {
    return new VendorProgram(pod.namespace, [programs.cyclone, ...about], {
      ...environment,
      CYCLONEDDS_URI: cycloneUri(options, domainId),
    });
  }
  if (vendor === "fast") {
    const { keys, profile } = options;
    if (profile !== undefined) {
      const described = { ...environment, FASTRTPS_DEFAULT_PROFILES_FILE: profile };
      return new VendorProgram(pod.namespace, [programs.fast, ...about, "0", "profile"], described);
    }
    const how =
      keys !== undefined
        ? ["secure", keys]
        : peer !== undefined
          ? [family === 6 ? "peer6" : "peer", peer]
          : family === 6
            ? ["v6"]
            : [];
    return new VendorProgram(pod.namespace, [programs.fast, ...about, "0", ...how], environment);
  }
  const command = [process.execPath, join(VENDORS_FOLDER, "connext.cjs"), CONNEXT_FOLDER, role, "60"];
  // Both ends would like shared memory, which is of one machine and not of one pod.
  const peers = peer === undefined ? "239.255.0.1,builtin.udpv4://" : `rtps@udpv4://${peer}:7400`;
  return new VendorProgram(pod.namespace, command, { ...environment, NDDS_DISCOVERY_PEERS: peers });
}

import type { Topic } from "#shared/api/topic.ts";
import type { TopicSettings } from "../adapter/topic-adapter.ts";
import { escapeXml } from "../types/read-xml.ts";

/** RTPS 9.6.1.1: ports of a domain begin here, and domains are so far apart. */
const PORT_BASE = 7400;
const DOMAIN_GAIN = 250;

/** Samples that reader and writer hold at most: what is more waits in other processes, or is lost where nobody waits. */
const MAX_SAMPLES = 1_024;
const MAX_INSTANCES = 65_536;

export const WRITER = "publisher::writer";
export const READER = "subscriber::reader";

/** The configuration that Connext makes a participant of: DDS-XML application creation. Pure. */
export interface ConnextDocument {
  /** `library::participant` */
  readonly participant: string;
  readonly text: string;
}

type Node = string | readonly Node[];

/** An element, with what is inside as it stands. */
const tag = (name: string, ...inside: readonly Node[]): string => `<${name}>${inside.flat(9).join("")}</${name}>`;
const value = (name: string, text: string | number): string => `<${name}>${escapeXml(String(text))}</${name}>`;
const property = (name: string, text: string): string => tag("element", value("name", name), value("value", text));

function participantQos({ key, spec }: TopicSettings): string {
  const { domain, domainTag, interfaces, peers } = spec;
  const port = PORT_BASE + DOMAIN_GAIN * domain;
  const initial = peers.map((peer) => `rtps@udpv4://${peer}:${port}`);
  const properties = [
    ...(domainTag === "" ? [] : [property("dds.domain_participant.domain_tag", domainTag)]),
    ...(interfaces.length === 0
      ? []
      : [property("dds.transport.UDPv4.builtin.parent.allow_interfaces_list", interfaces.join(","))]),
  ];
  return tag(
    "domain_participant_qos",
    tag("participant_name", value("name", `causeway ${key}`)),
    // Shared memory is of a machine and not of a pod.
    tag("transport_builtin", value("mask", "UDPv4")),
    tag(
      "discovery",
      tag(
        "initial_peers",
        (initial.length === 0 ? ["builtin.udpv4://239.255.0.1"] : initial).map((peer) => value("element", peer)),
      ),
    ),
    // No TypeInformation: Cyclone DDS would ask for a type that differs in anything, and not match (docs/dds.md).
    tag("discovery_config", value("enabled_builtin_channels", "SERVICE_REQUEST_CHANNEL")),
    properties.length === 0 ? "" : tag("property", tag("value", properties)),
  );
}

/** What reader and writer have in common. */
function endpointQos({ reliability, durability, historyDepth, ownership }: Topic["spec"]["qos"]) {
  const isReliable = reliability === "Reliable";
  return {
    // The process must not stand still because a reader somewhere is slow.
    writerReliability: tag(
      "reliability",
      value("kind", isReliable ? "RELIABLE_RELIABILITY_QOS" : "BEST_EFFORT_RELIABILITY_QOS"),
      tag("max_blocking_time", value("sec", 0), value("nanosec", 0)),
    ),
    readerReliability: tag(
      "reliability",
      value("kind", isReliable ? "RELIABLE_RELIABILITY_QOS" : "BEST_EFFORT_RELIABILITY_QOS"),
    ),
    common: [
      tag(
        "durability",
        value("kind", durability === "Volatile" ? "VOLATILE_DURABILITY_QOS" : "TRANSIENT_LOCAL_DURABILITY_QOS"),
      ),
      historyDepth === undefined
        ? tag("history", value("kind", "KEEP_ALL_HISTORY_QOS"))
        : tag("history", value("kind", "KEEP_LAST_HISTORY_QOS"), value("depth", historyDepth)),
      tag("ownership", value("kind", ownership === "Shared" ? "SHARED_OWNERSHIP_QOS" : "EXCLUSIVE_OWNERSHIP_QOS")),
      tag(
        "resource_limits",
        value("max_samples", Math.max(MAX_SAMPLES, historyDepth ?? 0)),
        value("max_instances", MAX_INSTANCES),
      ),
    ],
  };
}

function partitionQos(partitions: readonly string[]): string {
  if (partitions.length === 0) return "";
  const names = partitions.map((name) => value("element", name));
  return tag("partition", tag("name", names));
}

/**
 * @param id of this participant among all that the process ever makes: Connext keeps names for good.
 */
export function connextDocument(settings: TopicSettings, id: number): ConnextDocument {
  const { spec, types } = settings;
  const { topic, type, domain, direction, qos } = spec;
  const { writerReliability, readerReliability, common } = endpointQos(qos);
  const partition = partitionQos(qos.partitions);
  const topicName = escapeXml(topic);
  const writer =
    `<publisher name="publisher">${tag("publisher_qos", partition)}<data_writer name="writer" topic_ref="${topicName}">` +
    `${tag("datawriter_qos", writerReliability, common)}</data_writer></publisher>`;
  // Publishers say in which representation they write; both are taken.
  const representation = tag(
    "representation",
    tag("value", value("element", "XCDR_DATA_REPRESENTATION"), value("element", "XCDR2_DATA_REPRESENTATION")),
  );
  const reader =
    `<subscriber name="subscriber">${tag("subscriber_qos", partition)}<data_reader name="reader" topic_ref="${topicName}">` +
    `${tag("datareader_qos", readerReliability, common, representation)}</data_reader></subscriber>`;
  const endpoints = [direction === "Subscribe" ? "" : writer, direction === "Publish" ? "" : reader].join("");
  // What Connext says of a sample that it refuses is asked for; it would also print it, at each of them.
  const silence =
    `<qos_library name="CausewayFactory${id}"><qos_profile name="Quiet" is_default_participant_factory_profile="true">` +
    "<participant_factory_qos><logging><output_file>/dev/null</output_file></logging></participant_factory_qos>" +
    "</qos_profile></qos_library>";
  const text =
    `<dds>${silence}${types.xml}` +
    `<domain_library name="CausewayDomains${id}"><domain name="domain" domain_id="${domain}">` +
    `<register_type name="${escapeXml(type)}" type_ref="${escapeXml(type)}"/>` +
    `<topic name="${topicName}" register_type_ref="${escapeXml(type)}"/></domain></domain_library>` +
    `<domain_participant_library name="CausewayTopics${id}">` +
    `<domain_participant name="topic" domain_ref="CausewayDomains${id}::domain">` +
    `${participantQos(settings)}${endpoints}</domain_participant></domain_participant_library></dds>`;
  return { participant: `CausewayTopics${id}::topic`, text };
}

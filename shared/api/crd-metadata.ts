import type { Additions, CelRule } from "./crd-schema.ts";

/*
 * What our kinds' CustomResourceDefinitions say beyond the schemas: names, columns, and rules for what the schemas check
 * by code. Rules are estimated before they are taken: every text and list that a rule goes through has a limit. isIP and
 * isCIDR need Kubernetes 1.31.
 */

/** A column of `kubectl get`. */
interface PrinterColumn {
  readonly name: string;
  readonly type: "string" | "integer" | "boolean" | "date";
  readonly jsonPath: string;
  readonly description?: string;
  /** Above 0: only with `-o wide`. */
  readonly priority?: number;
}

interface CrdMetadata {
  readonly description: string;
  readonly shortName: string;
  /** A policy attachment (GEP-713): tools that show what is attached to an object look for it. */
  readonly policy?: "Direct";
  /** Where `kubectl scale` finds replicas. */
  readonly scale?: { readonly specReplicasPath: string; readonly statusReplicasPath: string };
  readonly columns: readonly PrinterColumn[];
  readonly additions: Additions;
}

const AGE: PrinterColumn = { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" };

/** metav1.Condition's limits, and its list as a map, so that each writer has its own conditions. */
function conditionsAt(path: string): Additions {
  return {
    [path]: { keywords: { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] } },
    [`${path}[].type`]: { keywords: { maxLength: 316 } },
    [`${path}[].reason`]: { keywords: { maxLength: 1024 } },
    [`${path}[].message`]: { keywords: { maxLength: 32_768 } },
    [`${path}[].lastTransitionTime`]: { keywords: { format: "date-time" } },
  };
}

/** The deprecated notation ::192.0.2.1, which isIP takes and our own parser does not. */
const NOT_DEPRECATED = "!self.matches('(^|[- ])::[0-9]+[.]')";

const PREFIX: Additions[string] = {
  // The longest IPv6 text with an embedded IPv4 address, and a length.
  keywords: { maxLength: 49 },
  rules: [
    {
      rule: `isCIDR(self) && ${NOT_DEPRECATED}`,
      message: "must be a prefix, for example 192.0.2.0/24 or 2001:db8::/64",
    },
  ],
};

const IP_ADDRESS: Additions[string] = {
  keywords: { maxLength: 45 },
  rules: [
    {
      rule: `isIP(self) && ${NOT_DEPRECATED}`,
      message: "must be an IP address, for example 192.0.2.1 or 2001:db8::1",
    },
  ],
};

/** 0 to 65535, leading zeros allowed, at most five digits. */
const PORT_PATTERN = "([0-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";

const PORTS: Additions[string] = {
  keywords: { minimum: 0, maximum: 65_535, maxLength: 11, pattern: `^${PORT_PATTERN}(-${PORT_PATTERN})?$` },
  // Before maxLength counts for it, an int-or-string is estimated at the size of a whole request: no rule is cheap enough.
  slips: ["a range of ports that runs backwards"],
};

/** 0 to 232, leading zeros allowed, at most five digits. */
const DOMAIN_PATTERN = "0{0,2}([01]?[0-9]{1,2}|2[0-2][0-9]|23[0-2])";

const DOMAINS: Additions[string] = {
  keywords: { minimum: 0, maximum: 232, maxLength: 11, pattern: `^${DOMAIN_PATTERN}(-${DOMAIN_PATTERN})?$` },
  slips: ["a range of domains that runs backwards"],
};

const INTERFACE: Additions[string] = { keywords: { maxLength: 15 } };
/** Each network has an interface of its own. */
const BY_NAME: Additions[string] = {
  keywords: { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] },
};

const BY_INTERFACE: Additions[string] = {
  keywords: { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["interface"] },
};

/** The primes up to 256, whose square is 65536: a larger factor of a table's size has a smaller one beside it. */
const SMALL_PRIMES = Array.from({ length: 255 }, (_, index) => index + 2).filter((candidate) =>
  Array.from({ length: candidate - 2 }, (_, index) => index + 2).every((divisor) => candidate % divisor !== 0),
);

/** The first and the last address of a block that is a range. */
const FIRST = "self.substring(0, self.indexOf('-')).trim()";
const LAST = "self.substring(self.indexOf('-') + 1).trim()";

/** The hexadecimal digit of `field`, counted by `place` from the right, as a number. */
function hexDigit(field: "mask" | "value"): string {
  const digits = `('0000000' + self.${field}.substring(2)).lowerAscii()`;
  return `'0123456789abcdef'.indexOf(${digits}.charAt(self.${field}.size() + 5 - place))`;
}

function fitsWidth(field: "mask" | "value"): CelRule {
  const text = `self.${field}`;
  const present = field === "mask" ? "!has(self.mask) || " : "";
  return {
    rule:
      `${present}self.width == 4 || (self.width == 2 ? ${text}.matches('^0x0*[0-9a-fA-F]{1,4}$') : ` +
      `${text}.matches('^0x0*[0-9a-fA-F]{1,2}$'))`,
    message: `${field} does not fit into as many bytes as width says`,
    fieldPath: `.${field}`,
  };
}

/** What the API server refuses although a file may hold it. */
export const STRICTER = [
  'GatewayParameters `spec.resources`: a number with a fraction; quote it (`"0.5"`)',
  "addresses: an IPv6 address that ends in an IPv4 address with leading zeros",
] as const;

export const CRD_METADATA: Readonly<
  Record<
    "GatewayParameters" | "AddressPool" | "BgpPeer" | "FlowRoute" | "HealthCheck" | "DiscoveryDomain" | "Topic",
    CrdMetadata
  >
> = {
  GatewayParameters: {
    description: "How a Gateway's instances are attached and how they forward.",
    shortName: "gwp",
    scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" },
    columns: [
      { name: "Mode", type: "string", jsonPath: ".spec.mode" },
      { name: "Replicas", type: "integer", jsonPath: ".spec.replicas" },
      { name: "Accepted", type: "string", jsonPath: '.status.conditions[?(@.type=="Accepted")].status' },
      { name: "In-Use", type: "string", jsonPath: '.status.conditions[?(@.type=="InUse")].status' },
      AGE,
      { name: "Table-Size", type: "integer", jsonPath: ".spec.lookupTableSize", priority: 1 },
      { name: "Return-Path", type: "string", jsonPath: ".spec.returnPath", priority: 1 },
    ],
    additions: {
      spec: {
        rules: [
          {
            rule: "self.mode != 'DSR' || self.returnPath == 'Agent'",
            message: "DSR needs the node agent to put VIPs on the targets: use Agent, or mode NAT",
            fieldPath: ".returnPath",
          },
          {
            rule: "self.externalNetworks.all(e, self.serviceNetworks.all(s, e.interface != s.interface))",
            message: "an interface is used by an external and by a service network; each needs its own interface",
            fieldPath: ".serviceNetworks",
            reason: "FieldValueDuplicate",
          },
        ],
      },
      "spec.externalNetworks": BY_INTERFACE,
      "spec.externalNetworks[].interface": INTERFACE,
      "spec.serviceNetworks": BY_INTERFACE,
      "spec.serviceNetworks[].interface": INTERFACE,
      "spec.lookupTableSize": {
        rules: [
          {
            rule: `[${SMALL_PRIMES.join(", ")}].all(p, self == p || self % p != 0)`,
            message: "must be a prime number, for example 251, 997 or 9973",
          },
        ],
      },
      ...conditionsAt("status.conditions"),
    },
  },
  AddressPool: {
    description: "Where Gateways' VIPs come from.",
    shortName: "apool",
    columns: [
      { name: "Accepted", type: "string", jsonPath: '.status.conditions[?(@.type=="Accepted")].status' },
      { name: "Available", type: "string", jsonPath: '.status.conditions[?(@.type=="Available")].status' },
      { name: "IPv4-Used", type: "string", jsonPath: ".status.ipv4.used" },
      { name: "IPv4-Free", type: "string", jsonPath: ".status.ipv4.free" },
      { name: "IPv6-Used", type: "string", jsonPath: ".status.ipv6.used" },
      { name: "IPv6-Free", type: "string", jsonPath: ".status.ipv6.free" },
      AGE,
      { name: "Priority", type: "integer", jsonPath: ".spec.priority", priority: 1 },
      { name: "Auto-Assign", type: "boolean", jsonPath: ".spec.autoAssign", priority: 1 },
      { name: "Addresses", type: "string", jsonPath: ".spec.addresses", priority: 1 },
    ],
    additions: {
      spec: {
        rules: [
          {
            rule:
              "self.addresses.all(a, !isCIDR(a) || " +
              "self.addresses.filter(b, isCIDR(b) && cidr(b).containsIP(cidr(a).ip())).size() == 1)",
            message: "a prefix overlaps another one of the same pool; remove one of the two",
            fieldPath: ".addresses",
          },
        ],
      },
      "spec.addresses[]": {
        keywords: { maxLength: 100 },
        rules: [
          {
            rule:
              `${NOT_DEPRECATED} && (isCIDR(self) || (self.indexOf('-') > 0 && isIP(${FIRST}) && isIP(${LAST}) && ` +
              `ip(${FIRST}).family() == ip(${LAST}).family()))`,
            message: "must be a prefix or a range, for example 192.0.2.0/24 or 192.0.2.10-192.0.2.20",
          },
        ],
        slips: [
          "a range of addresses that runs backwards",
          "a range that overlaps a prefix or a range of the same pool",
        ],
      },
      ...conditionsAt("status.conditions"),
    },
  },
  BgpPeer: {
    description: "A router that the instances of this namespace's Gateways speak to.",
    shortName: "bgpp",
    columns: [
      { name: "Type", type: "string", jsonPath: ".spec.type" },
      { name: "Address", type: "string", jsonPath: ".spec.address" },
      { name: "ASN", type: "integer", jsonPath: ".spec.asn" },
      {
        name: "Established",
        type: "string",
        jsonPath: '.status.conditions[?(@.type=="Established")].status',
        description: "Whether all instances use the router.",
      },
      {
        name: "Session",
        type: "string",
        jsonPath: ".status.instances[*].state",
        description: "State of the first instance's session; status.instances holds all of them.",
      },
      { name: "Instance", type: "string", jsonPath: ".status.instances[*].name", description: "The first instance." },
      AGE,
      { name: "Local-ASN", type: "integer", jsonPath: ".spec.localAsn", priority: 1 },
      { name: "Message", type: "string", jsonPath: ".status.instances[*].message", priority: 1 },
    ],
    additions: {
      spec: {
        rules: [
          {
            rule: "self.type != 'BGP' || has(self.asn)",
            message: "a BGP peer needs the router's AS number",
            fieldPath: ".asn",
            reason: "FieldValueRequired",
          },
          {
            rule: "self.type != 'BGP' || has(self.localAsn)",
            message: "a BGP peer needs our own AS number",
            fieldPath: ".localAsn",
            reason: "FieldValueRequired",
          },
          {
            rule: "!self.ttlSecurity || self.multihopTtl == 0",
            message: "excludes multihopTtl: a router beyond the link cannot pass GTSM",
            fieldPath: ".ttlSecurity",
          },
          {
            rule: "!has(self.keepaliveSeconds) || self.keepaliveSeconds * 3 <= self.holdTimeSeconds",
            message: "must be at most a third of holdTimeSeconds",
            fieldPath: ".keepaliveSeconds",
          },
        ],
      },
      "spec.address": IP_ADDRESS,
      "spec.interface": INTERFACE,
      "spec.advertise.communities[]": {
        keywords: { maxLength: 11 },
        rules: [
          {
            rule:
              "int(self.substring(0, self.indexOf(':'))) <= 65535 && " +
              "int(self.substring(self.indexOf(':') + 1)) <= 65535",
            message: "both halves of a community are at most 65535",
          },
        ],
      },
      "spec.advertise.largeCommunities[]": {
        keywords: { maxLength: 32 },
        rules: [
          {
            rule:
              "int(self.substring(0, self.indexOf(':'))) <= 4294967295 && " +
              "int(self.substring(self.indexOf(':') + 1, self.lastIndexOf(':'))) <= 4294967295 && " +
              "int(self.substring(self.lastIndexOf(':') + 1)) <= 4294967295",
            message: "each part of a large community is at most 4294967295",
          },
        ],
      },
      "spec.import.prefixes[]": PREFIX,
      "status.instances": BY_NAME,
      "status.instances[].since": { keywords: { format: "date-time" } },
      ...conditionsAt("status.conditions"),
    },
  },
  FlowRoute: {
    description: "What TCPRoute and UDPRoute cannot say. All fields of a match must hold.",
    shortName: "flr",
    columns: [
      { name: "Priority", type: "integer", jsonPath: ".spec.priority" },
      { name: "Gateway", type: "string", jsonPath: ".spec.parentRefs[*].name", description: "The first parent." },
      {
        name: "Accepted",
        type: "string",
        jsonPath: '.status.parents[*].conditions[?(@.type=="Accepted")].status',
        description: "Whether the first parent accepts the route.",
      },
      {
        name: "Resolved",
        type: "string",
        jsonPath: '.status.parents[*].conditions[?(@.type=="ResolvedRefs")].status',
        description: "Whether the backends were found and are permitted.",
      },
      AGE,
      { name: "Protocols", type: "string", jsonPath: ".spec.match.protocols", priority: 1 },
      { name: "Destination-Ports", type: "string", jsonPath: ".spec.match.destinationPorts", priority: 1 },
      { name: "Backend", type: "string", jsonPath: ".spec.backendRefs[*].name", priority: 1 },
    ],
    additions: {
      "spec.match.destinations[]": PREFIX,
      "spec.match.sources[]": PREFIX,
      "spec.match.destinationPorts[]": PORTS,
      "spec.match.sourcePorts[]": PORTS,
      "spec.match.byteMatches[]": {
        rules: [
          fitsWidth("mask"),
          fitsWidth("value"),
          {
            rule:
              "!has(self.mask) || [1, 2, 3, 4, 5, 6, 7, 8].all(place, [1, 2, 4, 8].all(bit, " +
              `${hexDigit("value")} / bit % 2 <= ${hexDigit("mask")} / bit % 2))`,
            message: "value has bits outside the mask: it can never match",
            fieldPath: ".value",
          },
        ],
      },
      "spec.match.byteMatches[].mask": { keywords: { maxLength: 10 } },
      "spec.match.byteMatches[].value": { keywords: { maxLength: 10 } },
      ...conditionsAt("status.parents[].conditions"),
    },
  },
  HealthCheck: {
    description: "What each gateway instance asks the targets of Services, over the service network.",
    shortName: "hchk",
    policy: "Direct",
    columns: [
      { name: "Type", type: "string", jsonPath: ".spec.type" },
      { name: "Service", type: "string", jsonPath: ".spec.targetRefs[*].name", description: "The first Service." },
      { name: "Accepted", type: "string", jsonPath: '.status.conditions[?(@.type=="Accepted")].status' },
      {
        name: "Unhealthy",
        type: "integer",
        jsonPath: ".status.instances[*].unhealthy",
        description: "Targets that the first instance does not reach; status.instances holds all of them.",
      },
      AGE,
      { name: "Interval-Ms", type: "integer", jsonPath: ".spec.intervalMs", priority: 1 },
      { name: "Message", type: "string", jsonPath: ".status.instances[*].message", priority: 1 },
    ],
    additions: {
      spec: {
        rules: [
          {
            rule: "!has(self.timeoutMs) || self.timeoutMs <= self.intervalMs",
            message: "must be at most intervalMs",
            fieldPath: ".timeoutMs",
          },
          { rule: "!has(self.http) || self.type == 'HTTP'", message: "is for type HTTP only", fieldPath: ".http" },
          { rule: "!has(self.udp) || self.type == 'UDP'", message: "is for type UDP only", fieldPath: ".udp" },
          {
            rule: "!has(self.port) || self.type != 'ICMP'",
            message: "ICMP has no ports; leave it out",
            fieldPath: ".port",
          },
        ],
      },
      ...conditionsAt("status.conditions"),
      "status.instances": BY_NAME,
      "status.instances[].targets[].since": { keywords: { format: "date-time" } },
    },
  },
  DiscoveryDomain: {
    description: "DDS participants that are introduced to each other across networks.",
    shortName: "ddom",
    columns: [
      { name: "Domains", type: "string", jsonPath: ".spec.domains" },
      {
        name: "State",
        type: "string",
        jsonPath: ".status.instances[*].state",
        description: "State of the first relay; status.instances holds all of them.",
      },
      {
        name: "Participants",
        type: "integer",
        jsonPath: ".status.instances[*].participants",
        description: "Participants that the first relay has heard.",
      },
      AGE,
      { name: "Networks", type: "string", jsonPath: ".spec.networks[*].network", priority: 1 },
      { name: "Message", type: "string", jsonPath: ".status.instances[*].message", priority: 1 },
    ],
    additions: {
      "spec.domains[]": DOMAINS,
      "spec.networks": {
        ...BY_INTERFACE,
        rules: [
          {
            rule: "self.all(n, self.filter(m, m.interface == n.interface).size() == 1)",
            message: "an interface is used by two networks; each needs its own interface",
            reason: "FieldValueDuplicate",
          },
        ],
      },
      "spec.networks[].interface": INTERFACE,
      "spec.listenAddresses[]": IP_ADDRESS,
      "spec.allowedSources[]": PREFIX,
      "spec.serviceGroups": {
        keywords: { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["service"] },
        rules: [
          {
            rule: "self.all(g, self.filter(h, h.service == g.service).size() == 1)",
            message: "a Service is named by two groups; name it once",
            reason: "FieldValueDuplicate",
          },
        ],
      },
      "spec.fanOut.domains[]": DOMAINS,
      "spec.fanOut.groups[]": PREFIX,
      "spec.sisters[]": IP_ADDRESS,
      ...conditionsAt("status.conditions"),
      "status.instances": BY_NAME,
    },
  },
  Topic: {
    description: "A DDS topic that TCP clients read and write as lines of JSON.",
    shortName: "dtop",
    columns: [
      { name: "Domain", type: "integer", jsonPath: ".spec.domain" },
      { name: "Topic", type: "string", jsonPath: ".spec.topic" },
      { name: "Direction", type: "string", jsonPath: ".spec.direction" },
      {
        name: "Serving",
        type: "string",
        jsonPath: '.status.conditions[?(@.type=="Serving")].status',
        description: "Whether all instances serve the Topic.",
      },
      {
        name: "Clients",
        type: "integer",
        jsonPath: ".status.instances[*].clients",
        description: "Clients of the first instance; status.instances holds all of them.",
      },
      AGE,
      { name: "Service", type: "string", jsonPath: ".spec.service.name", priority: 1 },
      { name: "Message", type: "string", jsonPath: ".status.instances[*].message", priority: 1 },
    ],
    additions: {
      "spec.types": {
        rules: [
          {
            rule: "has(self.configMap) != has(self.file)",
            message: "must hold one of configMap and file",
          },
        ],
      },
      "spec.qos": {
        rules: [
          {
            rule: "self.durability != 'TransientLocal' || has(self.historyDepth)",
            message: "must be given with durability TransientLocal: all samples of all times cannot be kept",
            fieldPath: ".historyDepth",
            reason: "FieldValueRequired",
          },
        ],
      },
      "spec.interfaces[]": INTERFACE,
      "spec.peers[]": {
        keywords: { maxLength: 15 },
        rules: [
          {
            rule: "isIP(self) && ip(self).family() == 4",
            message: "must be an IPv4 address, for example 192.0.2.1",
          },
        ],
      },
      ...conditionsAt("status.conditions"),
      "status.instances": { keywords: { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] } },
    },
  },
};

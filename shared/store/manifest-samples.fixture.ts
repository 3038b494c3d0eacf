export type Path = readonly (string | number)[];
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const GATEWAY_API = "gateway.networking.k8s.io/v1";
const OWN_API = "causeway.dev/v1alpha1";

const parentRefs = [{ name: "gw", sectionName: "web", port: 80 }];
const backendRefs = [{ name: "web", port: 80, weight: 3 }];

/** A valid object without its name, and what makes it invalid. */
export interface Sample {
  readonly kind: string;
  readonly namespaced: boolean;
  readonly value: { readonly [key: string]: Json };
  /** Fields that must be there. */
  readonly required: readonly Path[];
  /** Values that are refused: where, and what. */
  readonly refused: readonly (readonly [Path, Json])[];
  /** Unknown fields are let through: other programs own them. */
  readonly loose?: boolean;
}

export const SAMPLES: readonly Sample[] = [
  {
    kind: "GatewayClass",
    namespaced: false,
    value: {
      apiVersion: GATEWAY_API,
      spec: {
        controllerName: "example.com/none",
        description: "none",
        parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "p", namespace: "n" },
      },
    },
    required: [["spec"], ["spec", "controllerName"], ["spec", "parametersRef", "name"]],
    refused: [
      [["spec", "controllerName"], ""],
      [["spec", "description"], "x".repeat(65)],
      [["spec", "parametersRef", "name"], "Not_A_Name"],
    ],
  },
  {
    kind: "Gateway",
    namespaced: true,
    value: {
      apiVersion: GATEWAY_API,
      spec: {
        gatewayClassName: "none",
        addresses: [{ type: "IPAddress", value: "192.0.2.1" }],
        listeners: [
          {
            name: "web",
            protocol: "TCP",
            port: 80,
            allowedRoutes: { namespaces: { from: "Same" }, kinds: [{ kind: "TCPRoute" }] },
          },
        ],
        infrastructure: { parametersRef: { group: "causeway.dev", kind: "GatewayParameters", name: "p" } },
      },
    },
    required: [
      ["spec", "gatewayClassName"],
      ["spec", "listeners"],
      ["spec", "listeners", 0, "name"],
      ["spec", "listeners", 0, "port"],
      ["spec", "listeners", 0, "protocol"],
      ["spec", "infrastructure", "parametersRef", "name"],
    ],
    refused: [
      [["spec", "listeners"], []],
      [["spec", "listeners", 0, "port"], 0],
      [["spec", "listeners", 0, "port"], 65536],
      [["spec", "listeners", 0, "port"], 80.5],
      [["spec", "listeners", 0, "port"], -1],
      [["spec", "listeners", 0, "name"], "Web!"],
      [["spec", "listeners", 0, "allowedRoutes", "namespaces", "from"], "all"],
      [["spec", "addresses", 0, "value"], "192.0.2.256"],
      [["spec", "addresses", 0, "value"], "192.0.2.1/32"],
      [["spec", "addresses", 0, "value"], "fe80::1%eth0"],
      [["spec", "addresses", 0, "type"], "IP"],
      [["spec", "gatewayClassName"], "-none-"],
    ],
  },
  {
    kind: "TCPRoute",
    namespaced: true,
    value: { apiVersion: GATEWAY_API, spec: { parentRefs, rules: [{ backendRefs }] } },
    required: [
      ["spec", "rules"],
      ["spec", "parentRefs", 0, "name"],
      ["spec", "rules", 0, "backendRefs"],
      ["spec", "rules", 0, "backendRefs", 0, "name"],
    ],
    refused: [
      [["spec", "rules"], []],
      [
        ["spec", "rules"],
        [{ backendRefs }, { backendRefs }],
      ],
      [["spec", "rules", 0, "backendRefs"], []],
      [["spec", "rules", 0, "backendRefs", 0, "weight"], -1],
      [["spec", "rules", 0, "backendRefs", 0, "weight"], 1_000_001],
      [["spec", "rules", 0, "backendRefs", 0, "port"], 70_000],
      [["spec", "parentRefs", 0, "port"], 0],
      [["spec", "parentRefs", 0, "sectionName"], "W W"],
    ],
  },
  {
    kind: "UDPRoute",
    namespaced: true,
    value: { apiVersion: "gateway.networking.k8s.io/v1alpha2", spec: { parentRefs, rules: [{ backendRefs }] } },
    required: [["spec"], ["spec", "rules"], ["spec", "parentRefs", 0, "name"]],
    refused: [
      [["spec", "rules", 0, "backendRefs", 0, "name"], ""],
      [["spec", "rules", 0, "backendRefs", 0, "port"], 0],
    ],
  },
  {
    kind: "ReferenceGrant",
    namespaced: true,
    value: {
      apiVersion: "gateway.networking.k8s.io/v1beta1",
      spec: {
        from: [{ group: "gateway.networking.k8s.io", kind: "TCPRoute", namespace: "other" }],
        to: [{ group: "", kind: "Service", name: "web" }],
      },
    },
    required: [
      ["spec", "from"],
      ["spec", "to"],
      ["spec", "from", 0, "namespace"],
      ["spec", "to", 0, "kind"],
    ],
    refused: [
      [["spec", "from"], []],
      [["spec", "to"], []],
      [["spec", "from", 0, "namespace"], "UPPER"],
    ],
  },
  {
    kind: "GatewayParameters",
    namespaced: true,
    value: {
      apiVersion: OWN_API,
      spec: {
        mode: "DSR",
        externalNetworks: [{ interface: "ext0" }],
        serviceNetworks: [{ network: "default/service", interface: "svc0" }],
        lookupTableSize: 997,
        hashSeed: 1,
        returnPath: "Agent",
        replicas: 2,
        addressPools: ["pool"],
        ipFamilies: ["IPv4", "IPv6"],
      },
    },
    required: [
      ["spec", "externalNetworks"],
      ["spec", "serviceNetworks"],
      ["spec", "externalNetworks", 0, "interface"],
      ["spec", "serviceNetworks", 0, "network"],
    ],
    refused: [
      [["spec", "mode"], "dsr"],
      [["spec", "mode"], "L2"],
      [["spec", "lookupTableSize"], 1000],
      [["spec", "lookupTableSize"], 5],
      [["spec", "lookupTableSize"], 100_003],
      [["spec", "hashSeed"], -1],
      [["spec", "hashSeed"], 4_294_967_296],
      [["spec", "returnPath"], "Network"],
      [["spec", "returnPath"], "None"],
      [["spec", "replicas"], 0],
      [["spec", "replicas"], 65],
      [["spec", "externalNetworks"], []],
      [["spec", "serviceNetworks", 0, "interface"], "ext0"],
      [["spec", "serviceNetworks", 0, "interface"], "a-name-far-too-long"],
      [["spec", "serviceNetworks", 0, "network"], "a/b/c"],
      [["spec", "ipFamilies"], []],
      [["spec", "ipFamilies", 0], "ipv4"],
      [["spec", "addressPools", 0], "no pool"],
    ],
  },
  {
    kind: "AddressPool",
    namespaced: false,
    value: {
      apiVersion: OWN_API,
      spec: {
        addresses: ["198.51.100.0/28", "198.51.100.64-198.51.100.70"],
        avoidBuggyIPs: true,
        autoAssign: false,
        priority: 5,
        gatewaySelector: { matchExpressions: [{ key: "tier", operator: "In", values: ["edge"] }] },
        namespaces: ["nobody"],
      },
    },
    required: [["spec"], ["spec", "addresses"], ["spec", "gatewaySelector", "matchExpressions", 0, "operator"]],
    refused: [
      [["spec", "addresses"], []],
      [["spec", "addresses", 0], "198.51.100.0/33"],
      [["spec", "addresses", 0], "198.51.100.0"],
      [["spec", "addresses", 1], "198.51.100.70-198.51.100.64"],
      [["spec", "addresses", 1], "198.51.100.8/29"],
      [["spec", "addresses", 1], "198.51.100.1-2001:db8::1"],
      [["spec", "priority"], 1001],
      [["spec", "priority"], -1001],
      [["spec", "namespaces"], []],
      [["spec", "gatewaySelector", "matchExpressions", 0, "operator"], "in"],
    ],
  },
  {
    kind: "BgpPeer",
    namespaced: true,
    value: {
      apiVersion: OWN_API,
      spec: {
        gatewaySelector: { matchLabels: { none: "of-these" } },
        type: "BGP",
        address: "192.0.2.254",
        port: 179,
        interface: "ext0",
        asn: 65_000,
        localAsn: 65_001,
        families: ["IPv4"],
        password: { secretRef: { name: "secret", key: "password" } },
        ttlSecurity: true,
        multihopTtl: 0,
        holdTimeSeconds: 9,
        keepaliveSeconds: 3,
        connectRetrySeconds: 5,
        gracefulRestart: { enabled: true, restartSeconds: 120 },
        bfd: { enabled: true, intervalMs: 300, multiplier: 3 },
        advertise: {
          communities: ["65000:1"],
          largeCommunities: ["65000:1:2"],
          localPreference: 100,
          med: 10,
          prepend: 1,
        },
        import: { prefixes: ["0.0.0.0/0"], orLonger: true, maxPrefixes: 10 },
      },
    },
    required: [
      ["spec", "address"],
      ["spec", "asn"],
      ["spec", "localAsn"],
      ["spec", "password", "secretRef"],
      ["spec", "password", "secretRef", "name"],
    ],
    refused: [
      [["spec", "address"], "router.example.com"],
      [["spec", "address"], "2001:db8::/64"],
      [["spec", "type"], "OSPF"],
      [["spec", "asn"], 0],
      [["spec", "asn"], 4_294_967_295],
      [["spec", "port"], 65_536],
      [["spec", "families", 0], "IPv5"],
      [["spec", "families"], []],
      [["spec", "holdTimeSeconds"], 2],
      [["spec", "keepaliveSeconds"], 4],
      [["spec", "gracefulRestart", "restartSeconds"], 4096],
      [["spec", "bfd", "intervalMs"], 9],
      [["spec", "bfd", "multiplier"], 1],
      [["spec", "advertise", "communities", 0], "65536:1"],
      [["spec", "advertise", "communities", 0], "no-export-at-all"],
      [["spec", "advertise", "largeCommunities", 0], "1:2"],
      [["spec", "advertise", "prepend"], 17],
      [["spec", "advertise", "med"], -1],
      [["spec", "import", "prefixes", 0], "0.0.0.0"],
      [["spec", "import", "maxPrefixes"], 0],
    ],
  },
  {
    kind: "FlowRoute",
    namespaced: true,
    value: {
      apiVersion: OWN_API,
      spec: {
        parentRefs,
        priority: 10,
        match: {
          protocols: ["TCP"],
          destinations: ["198.51.100.1/32"],
          sources: ["0.0.0.0/0"],
          destinationPorts: ["5000-5999"],
          sourcePorts: [53],
          byteMatches: [{ offset: 8, width: 2, mask: "0xff00", value: "0x1200" }],
        },
        backendRefs,
      },
    },
    required: [
      ["spec", "parentRefs"],
      ["spec", "backendRefs"],
      ["spec", "match", "byteMatches", 0, "value"],
      ["spec", "match", "byteMatches", 0, "offset"],
      ["spec", "match", "byteMatches", 0, "width"],
    ],
    refused: [
      [["spec", "parentRefs"], []],
      [["spec", "backendRefs"], []],
      [["spec", "priority"], 1_000_001],
      [["spec", "match", "protocols", 0], "ICMP"],
      [["spec", "match", "protocols"], []],
      [["spec", "match", "destinations", 0], "198.51.100.1/3x"],
      [["spec", "match", "sources", 0], "any"],
      [["spec", "match", "destinationPorts", 0], "5999-5000"],
      [["spec", "match", "destinationPorts", 0], "70000"],
      [["spec", "match", "sourcePorts", 0], 65_536],
      [["spec", "match", "byteMatches", 0, "width"], 3],
      [["spec", "match", "byteMatches", 0, "mask"], "0xff000"],
      [["spec", "match", "byteMatches", 0, "mask"], "ff00"],
      [["spec", "match", "byteMatches", 0, "value"], "0x1234"],
      [["spec", "match", "byteMatches", 0, "value"], "1200"],
      [["spec", "match", "byteMatches", 0, "offset"], 1025],
    ],
  },
  {
    kind: "HealthCheck",
    namespaced: true,
    value: {
      apiVersion: OWN_API,
      spec: {
        targetRefs: [{ group: "", kind: "Service", name: "web", sectionName: "web" }],
        type: "HTTP",
        port: 8080,
        intervalMs: 200,
        timeoutMs: 100,
        failureThreshold: 3,
        successThreshold: 2,
        http: { path: "/healthz?full=1", host: "web.example.com" },
      },
    },
    required: [["spec"], ["spec", "targetRefs"], ["spec", "targetRefs", 0, "name"]],
    refused: [
      [["spec", "targetRefs"], []],
      [["spec", "targetRefs", 0, "kind"], "Pod"],
      [["spec", "targetRefs", 0, "group"], "apps"],
      [["spec", "targetRefs", 0, "sectionName"], "Web!"],
      [["spec", "type"], "http"],
      [["spec", "port"], 0],
      [["spec", "intervalMs"], 49],
      [["spec", "intervalMs"], 60_001],
      [["spec", "timeoutMs"], 201],
      [["spec", "timeoutMs"], 9],
      [["spec", "failureThreshold"], 0],
      [["spec", "successThreshold"], 101],
      [["spec", "http", "path"], "healthz"],
      [["spec", "http", "path"], "/a b"],
      [["spec", "http", "host"], "web example"],
      [["spec", "udp"], { payload: "ping" }],
    ],
  },
  {
    kind: "Service",
    namespaced: true,
    loose: true,
    value: {
      apiVersion: "v1",
      spec: { ports: [{ name: "web", protocol: "TCP", port: 80, targetPort: 8080 }], sessionAffinity: "None" },
    },
    required: [["spec"], ["spec", "ports", 0, "port"]],
    refused: [
      [["spec", "ports", 0, "port"], 0],
      [["spec", "ports", 0, "protocol"], "tcp"],
      [["spec", "ports", 0, "targetPort"], 70_000],
      [["spec", "sessionAffinity"], "Cookie"],
    ],
  },
  {
    kind: "EndpointSlice",
    namespaced: true,
    loose: true,
    value: {
      apiVersion: "discovery.k8s.io/v1",
      addressType: "IPv4",
      endpoints: [{ addresses: ["192.0.2.1"] }],
      ports: [{ name: "web", protocol: "TCP", port: 80 }],
    },
    required: [["addressType"], ["endpoints", 0, "addresses"]],
    refused: [
      [["addressType"], "FQDN"],
      [["endpoints", 0, "addresses"], []],
      [["endpoints", 0, "addresses", 0], "target-1"],
      [["ports", 0, "port"], 65_536],
    ],
  },
];

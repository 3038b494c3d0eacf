import { parseAllDocuments, parseDocument, stringify } from "yaml";
import type { SystemLabOptions } from "./system-lab.ts";

/** Port of the Gateway's listener for the Service `echo`, over all targets; TCP and UDP. */
export const ECHO_PORT = 8080;
/** Port whose flows go to the Services `stable` (target-1, target-2) and `canary` (target-3, target-4) by weight. */
export const TRACK_PORT = 9001;
/** Port of a listener that no route uses yet. */
export const SPARE_PORT = 9002;

const TRACKS = { "target-1": "stable", "target-2": "stable", "target-3": "canary", "target-4": "canary" } as const;
const PROTOCOLS = ["TCP", "UDP"] as const;

const service = (name: string, selector: Readonly<Record<string, string>>, ports: readonly number[]) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: {
    name,
    labels: { "service.kubernetes.io/service-proxy-name": "causeway" },
    annotations: { "k8s.v1.cni.cncf.io/service-network": "service-net" },
  },
  spec: {
    selector,
    ports: ports.flatMap((port) =>
      PROTOCOLS.map((protocol) => ({ name: `${protocol.toLowerCase()}-${port}`, protocol, port })),
    ),
  },
});

export const documents = (objects: readonly object[]): string =>
  objects.map((object) => `---\n${stringify(object)}`).join("");

/** Services and routes of the two tracks, with the shares that each gets. */
export function tracks(stable: number, canary: number): string {
  return documents([
    service("stable", { track: "stable" }, [TRACK_PORT, SPARE_PORT]),
    service("canary", { track: "canary" }, [TRACK_PORT, SPARE_PORT]),
    ...PROTOCOLS.map((protocol) => ({
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: `${protocol}Route`,
      metadata: { name: "tracks" },
      spec: {
        parentRefs: [{ name: "edge", sectionName: `tracks-${protocol.toLowerCase()}` }],
        rules: [
          {
            backendRefs: [
              { name: "stable", port: TRACK_PORT, weight: stable },
              { name: "canary", port: TRACK_PORT, weight: canary },
            ],
          },
        ],
      },
    })),
  ]);
}

/** Adds listeners to the Gateway of a manifest file. */
export function withListeners(
  text: string,
  listeners: readonly { readonly name: string; readonly protocol: string; readonly port: number }[],
): string {
  return parseAllDocuments(text)
    .map((document) => {
      if (document.get("kind") === "Gateway") {
        for (const listener of listeners) document.addIn(["spec", "listeners"], listener);
      }
      return `---\n${document.toString({ lineWidth: 0 }).replace(/^---\n/, "")}`;
    })
    .join("");
}

/** The default example with a second pair of Services over the same targets, weighted 90 to 10. */
export const TWO_TRACKS: SystemLabOptions = {
  example: "default",
  topology: (text) => {
    const document = parseDocument(text);
    const ports = [ECHO_PORT, TRACK_PORT, SPARE_PORT];
    for (const [node, track] of Object.entries(TRACKS)) {
      document.setIn(
        ["nodes", node],
        document.createNode({ role: "target", labels: { app: "echo", track }, echo: { tcp: ports, udp: ports } }),
      );
    }
    return document.toString();
  },
  manifests: {
    "gateway.yaml": (text) =>
      withListeners(text, [
        { name: "tracks-tcp", protocol: "TCP", port: TRACK_PORT },
        { name: "tracks-udp", protocol: "UDP", port: TRACK_PORT },
        { name: "flows", protocol: "causeway.dev/Flow", port: 1 },
      ]),
    "tracks.yaml": () => tracks(90, 10),
  },
};

import type { ClusterEvent } from "../event-sink.ts";

/** Limits of the API, in characters. */
const MAX_NOTE = 1024;
const MAX_WORD = 128;
/** With a dot and up to 32 digits, within a DNS subdomain's 253. */
const MAX_NAME = 220;

/** An Event as it is posted. @param serial Tells those of one millisecond apart. @param reporter The pod that reports. */
export function eventObject(event: ClusterEvent, reporter: string, serial: number) {
  const { regarding, type, reason, action, note, atMs } = event;
  const { namespace, ...named } = regarding;
  const about = namespace === "" ? named : { ...named, namespace };
  const name = `${regarding.name.slice(0, MAX_NAME).replace(/[^a-z0-9]+$/, "")}.${atMs.toString(16)}${serial.toString(16)}`;
  return {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    // Events about what has no namespace live in this one.
    metadata: { name, namespace: namespace === "" ? "default" : namespace },
    // A MicroTime has six digits.
    eventTime: new Date(atMs).toISOString().replace("Z", "000Z"),
    reportingController: "causeway.dev/gateway-controller",
    reportingInstance: reporter.slice(0, MAX_WORD),
    action: action.slice(0, MAX_WORD),
    reason: reason.slice(0, MAX_WORD),
    regarding: about,
    note: note.length > MAX_NOTE ? `${note.slice(0, MAX_NOTE - 1)}…` : note,
    type,
  };
}

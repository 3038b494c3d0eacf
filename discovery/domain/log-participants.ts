import type { Log } from "#shared/process/log.ts";
import type { ParticipantEvent } from "./participant.ts";

/** Says who comes and goes. */
export function logParticipants(log: Log, domain: string): (event: ParticipantEvent) => void {
  return (event) => {
    const { data, domainId, domainTag, guidPrefix, network, pod, source } = event.participant;
    const facts = { domain, participant: guidPrefix, domainId, domainTag, name: data.entityName, source, network, pod };
    if (event.type === "gone") log.info({ ...facts, reason: event.reason }, "participant gone");
    else if (event.type === "seen") log.info(facts, "participant seen");
    else log.debug(facts, "participant changed");
  };
}

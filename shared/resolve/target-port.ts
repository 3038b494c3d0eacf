import type { Pod, ServicePort } from "../api/core.ts";

/** The number at which a pod listens for a Service's port; undefined when no container has a port of that name. */
export function targetPort(pod: Pod, { port, protocol, targetPort: wanted }: ServicePort): number | undefined {
  if (typeof wanted !== "string") return wanted ?? port;
  return pod.spec.containers
    .flatMap(({ ports }) => ports)
    .find(({ name, protocol: theirs }) => name === wanted && theirs === protocol)?.containerPort;
}

import type { Pod, Service } from "#shared/api/core.ts";
import type { Topic } from "#shared/api/topic.ts";
import { byAge } from "#shared/resolve/age.ts";
import { targetPort } from "#shared/resolve/target-port.ts";
import type { ObjectView } from "#shared/store/object-store.ts";

/** A Topic that a pod serves: where, or why it cannot be. */
export type PlannedTopic = { readonly key: string; readonly topic: Topic } & (
  | { readonly port: number; readonly problem?: undefined }
  | { readonly problem: string }
);

function selectsPod(service: Service, pod: Pod): boolean {
  const selector = Object.entries(service.spec.selector ?? {});
  return selector.length > 0 && selector.every(([key, value]) => pod.metadata.labels[key] === value);
}

/** The port that the pod listens at for the Service's; text says why there is none. */
function portOf(service: Service, wanted: number, pod: Pod): number | string {
  const field = "spec.service.port";
  const where = `Service ${service.metadata.namespace}/${service.metadata.name}`;
  const found = service.spec.ports.find(({ port, protocol }) => port === wanted && protocol === "TCP");
  if (found === undefined) {
    const has = service.spec.ports.map(({ port, protocol }) => `${port}/${protocol}`).join(", ");
    return `${field}: ${where} has no TCP port ${wanted}; it has ${has === "" ? "none" : has}`;
  }
  const port = targetPort(pod, found);
  return (
    port ?? `${field}: no container of the pod has a TCP port named ${found.targetPort}, the targetPort of ${where}`
  );
}

/**
 * The Topics that a pod serves: those of its namespace whose Service selects it. Pure. Of two that would listen at one
 * port the older one does.
 */
export function planTopics(view: ObjectView, pod: Pod): readonly PlannedTopic[] {
  const owners = new Map<number, string>();
  const { namespace } = pod.metadata;
  return view
    .list("Topic")
    .filter((topic) => topic.metadata.namespace === namespace)
    .sort(byAge)
    .flatMap((topic): PlannedTopic[] => {
      const key = `${namespace}/${topic.metadata.name}`;
      const service = view.get("Service", namespace, topic.spec.service.name);
      if (service === undefined || !selectsPod(service, pod)) return [];
      const port = portOf(service, topic.spec.service.port, pod);
      if (typeof port === "string") return [{ key, topic, problem: port }];
      const owner = owners.get(port);
      if (owner !== undefined) {
        const problem = `spec.service.port: Topic ${owner} listens at port ${port} of this pod already; give each its own targetPort`;
        return [{ key, topic, problem }];
      }
      owners.set(port, key);
      return [{ key, topic, port }];
    });
}

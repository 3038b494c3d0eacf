import { z } from "zod";
import type { Cluster, Manifest } from "./cluster.ts";
import { runningStatus } from "./controller.ts";

const deploymentsSchema = z.looseObject({
  items: z.array(
    z.looseObject({
      metadata: z.looseObject({ name: z.string(), namespace: z.string() }),
      spec: z.looseObject({
        replicas: z.int(),
        template: z.looseObject({
          metadata: z.looseObject({
            labels: z.record(z.string(), z.string()),
            annotations: z.record(z.string(), z.string()).optional(),
          }),
          spec: z.looseObject({ containers: z.array(z.looseObject({ name: z.string(), image: z.string() })) }),
        }),
      }),
    }),
  ),
});

/** What Deployment controller, scheduler and kubelet do, once: pods that run, as many as there shall be. */
export async function runPods(cluster: Cluster): Promise<readonly Manifest[]> {
  const { items } = deploymentsSchema.parse(await cluster.raw("GET", "/apis/apps/v1/deployments"));
  const pods = items.flatMap(({ metadata, spec }) =>
    Array.from({ length: spec.replicas }, (_, at): Manifest => {
      const { labels, annotations } = spec.template.metadata;
      return {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: `${metadata.name}-${at}`, namespace: metadata.namespace, labels, annotations },
        spec: {
          nodeName: "worker",
          containers: spec.template.spec.containers.map(({ name, image }) => ({ name, image })),
        },
      };
    }),
  );
  for (const pod of pods) {
    await cluster.apply(pod);
    await cluster.patch(pod, runningStatus(), "status");
  }
  return pods;
}

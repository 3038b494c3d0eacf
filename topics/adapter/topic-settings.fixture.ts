import { topicSchema } from "#shared/api/topic.ts";
import type { TopicSettings } from "./topic-adapter.ts";

/** Settings of Topic default/readings, with what is said of its spec beside what it must have. */
export function topicSettings(
  more: Readonly<Record<string, unknown>> = {},
  types: TopicSettings["types"] = { topicTypes: [], xml: "" },
): TopicSettings {
  const { spec } = topicSchema.parse({
    apiVersion: "causeway.dev/v1alpha1",
    kind: "Topic",
    metadata: { name: "readings" },
    spec: {
      topic: "Reading",
      type: "plant::Reading",
      types: { file: "/types.xml" },
      service: { name: "readings", port: 7500 },
      ...more,
    },
  });
  return { key: "default/readings", spec, types };
}

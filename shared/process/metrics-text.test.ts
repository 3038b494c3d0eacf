import { expect, it } from "vitest";
import { metricsText } from "./metrics-text.ts";

it("writes the text format with labels escaped", () => {
  const labels = { path: 'a\\b"c\nd' };
  const text = metricsText([
    { name: "x_total", help: "Packets", type: "counter", samples: [{ labels, value: 3 }] },
    { name: "y", help: "Up", type: "gauge", samples: [{ labels: {}, value: 0.5 }] },
  ]);
  expect(text).toBe(
    '# HELP x_total Packets\n# TYPE x_total counter\nx_total{path="a\\\\b\\"c\\nd"} 3\n# HELP y Up\n# TYPE y gauge\ny 0.5\n',
  );
});

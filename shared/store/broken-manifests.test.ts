import { expect, test } from "vitest";
import { brokenManifests, validManifests } from "./broken-manifests.fixture.ts";
import { parseManifest } from "./manifest-file.ts";
import { problemText } from "./problem.ts";

test("the manifests are valid before they are broken", () => {
  for (const text of validManifests("lab")) {
    const { problems, objects } = parseManifest("valid.yaml", text);
    expect(problems).toEqual([]);
    expect(objects).toHaveLength(1);
  }
});

test("every broken manifest is refused with a message that names object and field, and says what is right", () => {
  const manifests = brokenManifests("lab");
  expect(manifests.length).toBeGreaterThanOrEqual(200);
  for (const { object, field, fault, text } of manifests) {
    const parsed = parseManifest("broken.yaml", text);
    const said = parsed.problems.map(problemText).join("\n");
    expect(
      parsed.objects.map((entry) => entry.object),
      `${object}: ${fault}`,
    ).toEqual([undefined]);
    expect(parsed.problems, `${fault}:\n${said}`).toContainEqual(
      expect.objectContaining({ object, field, line: expect.any(Number) }),
    );
    expect(said, fault).not.toMatch(/Invalid input|undefined|\[object|NaN/);
  }
});

test("in one file, each broken document is reported where it stands and the valid ones are read", () => {
  const broken = brokenManifests("lab");
  const text = [...broken.map((manifest) => manifest.text), ...validManifests("lab")].join("---\n");
  const { objects, problems, complete } = parseManifest("all.yaml", text);
  expect(objects.filter(({ object }) => object !== undefined)).toHaveLength(validManifests("lab").length);
  expect(new Set(problems.map(({ object }) => object))).toEqual(new Set(broken.map(({ object }) => object)));
  expect(complete).toBe(true);
});

import { expect, test } from "bun:test";
import type { GoType } from "../../src/eksa/canonical-structs.ts";
import { SIGNED_BUNDLES, SIGNED_EKSD_RELEASE } from "../../src/eksa/signed-structs.ts";

/** `Excludes` of eks-anywhere's pkg/constants/constants.go. */
const EXCLUDES =
  "LnNwZWMudmVyc2lvbnNCdW5kbGVzW10uYm9vdHN0cmFwCi5zcGVjLnZlcnNpb25zQnVuZGxlc1tdLmJvdHRsZXJvY2tldEJvb3RzdHJhcENvbnRhaW5lcnMKLnNwZWMudmVyc2lvbnNCdW5kbGVzW10uYm90dGxlcm9ja2V0SG9zdENvbnRhaW5lcnMKLnNwZWMudmVyc2lvbnNCdW5kbGVzW10uY2VydE1hbmFnZXIKLnNwZWMudmVyc2lvbnNCdW5kbGVzW10uY2lsaXVtCi5zcGVjLnZlcnNpb25zQnVuZGxlc1tdLmNsb3VkU3RhY2sKLnNwZWMudmVyc2lvbnNCdW5kbGVzW10uY2x1c3RlckFQSQouc3BlYy52ZXJzaW9uc0J1bmRsZXNbXS5jb250cm9sUGxhbmUKLnNwZWMudmVyc2lvbnNCdW5kbGVzW10uZG9ja2VyCi5zcGVjLnZlcnNpb25zQnVuZGxlc1tdLmVrc2EKLnNwZWMudmVyc2lvbnNCdW5kbGVzW10uZWtzRC5jb21wb25lbnRzCi5zcGVjLnZlcnNpb25zQnVuZGxlc1tdLmVrc0QubWFuaWZlc3RVcmwKLnNwZWMudmVyc2lvbnNCdW5kbGVzW10uZXRjZGFkbUJvb3RzdHJhcAouc3BlYy52ZXJzaW9uc0J1bmRsZXNbXS5ldGNkYWRtQ29udHJvbGxlcgouc3BlYy52ZXJzaW9uc0J1bmRsZXNbXS5mbHV4Ci5zcGVjLnZlcnNpb25zQnVuZGxlc1tdLmhhcHJveHkKLnNwZWMudmVyc2lvbnNCdW5kbGVzW10ua2luZG5ldGQKLnNwZWMudmVyc2lvbnNCdW5kbGVzW10ubnV0YW5peAouc3BlYy52ZXJzaW9uc0J1bmRsZXNbXS5wYWNrYWdlQ29udHJvbGxlcgouc3BlYy52ZXJzaW9uc0J1bmRsZXNbXS5zbm93Ci5zcGVjLnZlcnNpb25zQnVuZGxlc1tdLnRpbmtlcmJlbGwKLnNwZWMudmVyc2lvbnNCdW5kbGVzW10udXBncmFkZXIKLnNwZWMudmVyc2lvbnNCdW5kbGVzW10udlNwaGVyZQ==";
/** `AlwaysExcludedFields`, there too. */
const ALWAYS = [
  ".status",
  ".metadata.creationTimestamp",
  ".metadata.annotations",
  ".metadata.generation",
  ".metadata.managedFields",
  ".metadata.uid",
  ".metadata.resourceVersion",
  ".metadata.namespace",
];

/** As jq names them. */
function unsignedPaths(type: GoType, path = ""): string[] {
  if (type.kind === "list") return unsignedPaths(type.of, `${path}[]`);
  if (type.kind === "map" || type.kind === "pointer") return unsignedPaths(type.of, path);
  if (type.kind !== "struct") return [];
  const fields = Object.entries({ ...type.always, ...type.omitEmpty });
  const below = fields.flatMap(([key, field]) => unsignedPaths(field, `${path}.${key}`));
  return [...[...type.unsigned].map((key) => `${path}.${key}`), ...below];
}

test("what is not signed of a Bundles is what upstream excludes", () => {
  const excluded = Buffer.from(EXCLUDES, "base64").toString().split("\n");
  expect(excluded).toHaveLength(23);
  expect(unsignedPaths(SIGNED_BUNDLES).sort()).toEqual([...ALWAYS, ...excluded].sort());
});

test("of an EKS-D Release upstream excludes nothing that is its own", () => {
  expect(unsignedPaths(SIGNED_EKSD_RELEASE).sort()).toEqual([...ALWAYS].sort());
});

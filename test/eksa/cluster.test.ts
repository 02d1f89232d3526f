import { describe, expect, test } from "bun:test";
import { parseClusterMirror } from "../../src/eksa/cluster.ts";
import { faultOf, textOf } from "../support/faults.ts";

/** Of EKS Anywhere's own test data; long expired. */
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIDajCCAlKgAwIBAgIUZOD4pznfHyCO8gMvP87F+PnhGHMwDQYJKoZIhvcNAQEL
BQAwNDELMAkGA1UEBhMCREUxFDASBgNVBAgMC0xhbmQgQmVybGluMQ8wDQYDVQQH
DAZCZXJsaW4wHhcNMjIwODI1MTYxNzI5WhcNMzIwODIyMTYxNzI5WjA0MQswCQYD
VQQGEwJERTEUMBIGA1UECAwLTGFuZCBCZXJsaW4xDzANBgNVBAcMBkJlcmxpbjCC
ASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAO280znVj6qLpCqAeNgpw7gw
0OE54gBW8Y9gBtEYxBux6hXBl+doj+JNZLcfIoDoqdTlgZX13Y//WakfMuvuhYUN
53fpwsiup3pqqL+JHhKy+Bq/BSQcHkLGi/aUGph7qK/wQMZBGBbbBXaCwnhjYovl
nRq4p+Cm5wm4S/QUhgyvqyoeNWAc6+2AHniuIzo6Q1MU9ktaSAdL8ZdW5g6el5iA
oHjDHNjTwyTeybKFScEQvFqO6qfzTRn8eV6dwH4gOYec1IdDwSp8PSv9R7J9AC+1
DtAjsYtqO4i6qRpgf0zyGQb+uNKXdz/ovOGa58twfMKYU7Z2crPj3K7NOJVelZEC
AwEAAaN0MHIwHQYDVR0OBBYEFPlcZspynb+2DwRN5K3slRyEV0nxMB8GA1UdIwQY
MBaAFPlcZspynb+2DwRN5K3slRyEV0nxMA4GA1UdDwEB/wQEAwIFoDAgBgNVHSUB
Af8EFjAUBggrBgEFBQcDAQYIKwYBBQUHAwIwDQYJKoZIhvcNAQELBQADggEBACXY
FH72svBSALkqmTyU9rsh4rRK9yo7tmNJkFkRQ/cjYycpNKZ6Cg9+wGwN6o6pXdqb
JfeuePclDdGcgYe8SbGr0T7pFXdUIVmuO/jjatKCftXQQZK5zHCkUTLhVlAbnNpC
3NIU4wWjx/QLtk+zEqjl5kyDgXD5GwxXbgzzY+7wi4QZO8VRyLG5lawZVKer3gkt
+NGIOtoyz4RjnWIKV34Z6HUDhdgbVyX1uPG/a5mLmcbLjuSf39WdAgv9bFGkUHZk
2dU0bIXepIZ5Mz3aovl35EjbGAbpI8tpKWlsHNoiVNQm1vojfKvKVibVS2FNo0cD
gu45O/O1hxzezDKiKKU=
-----END CERTIFICATE-----
`;
const HEAD = "apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Cluster\n";
const MACHINES =
  "apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: VSphereMachineConfig\nmetadata:\n  name: m\n";

function read(text: string) {
  return parseClusterMirror({ source: "cluster.yaml", bytes: new TextEncoder().encode(text) });
}

/** A Cluster with these lines below `registryMirrorConfiguration`. */
function cluster(...lines: string[]): string {
  return [`${HEAD}metadata:\n  name: mgmt\nspec:\n  registryMirrorConfiguration:`, ...lines].join("\n    ");
}

function indented(text: string, by: string): string {
  return text.replaceAll(/^(?=.)/gm, by);
}

describe("a cluster's registry mirror", () => {
  test("is read whole, from among other documents", () => {
    const text = cluster(
      'endpoint: "harbor.corp" # the new one',
      "port: 5000",
      "ociNamespaces:",
      '- registry: "public.ecr.aws"',
      '  namespace: ""',
      "- registry: 783794618700.dkr.ecr.us-west-2.amazonaws.com",
      "  namespace: /curated/packages/",
      "authenticate: true",
      "insecureSkipVerify: true",
      `caCertContent: |\n${indented(CERTIFICATE, "      ")}`,
    );
    expect(read(`# generated\n---\n${MACHINES}---\n# nothing\n---\n${text}---\n${MACHINES}`)).toEqual({
      target: {
        scheme: "https",
        registry: "harbor.corp:5000",
        namespace: "",
        ociNamespaces: new Map([
          ["public.ecr.aws", ""],
          ["783794618700.dkr.ecr.us-west-2.amazonaws.com", "curated/packages"],
        ]),
      },
      authorities: CERTIFICATE,
      authenticate: true,
      insecureSkipVerify: true,
    });
  });

  test("needs an endpoint alone: public.ecr.aws is then at the root", () => {
    expect(read(cluster("endpoint: harbor.corp"))).toEqual({
      target: {
        scheme: "https",
        registry: "harbor.corp",
        namespace: "",
        ociNamespaces: new Map([["public.ecr.aws", ""]]),
      },
      authenticate: false,
      insecureSkipVerify: false,
    });
  });

  test("may have fields with nothing in them, as templates do", () => {
    const text = cluster(
      "endpoint: 10.0.0.1",
      'port: ""',
      "ociNamespaces:",
      "# - registry: public.ecr.aws",
      "caCertContent:",
      "authenticate: ~",
      "insecureSkipVerify: null",
    );
    expect(read(text)).toEqual(read(cluster("endpoint: 10.0.0.1")));
  });

  test("has its fields in any case, as on EKS Anywhere's own page", () => {
    const text = cluster("Endpoint: h", `CACertContent: |\n${indented(CERTIFICATE, "      ")}`);
    expect(read(text)).toMatchObject({ target: { registry: "h" }, authorities: CERTIFICATE });
  });

  test.each([
    ["endpoint: h", "h"],
    ["endpoint: h\n    port: 443", "h"],
    ["endpoint: h\n    port: '8443'", "h:8443"],
    ["endpoint: h\n    port: 65535", "h:65535"],
    ["endpoint: fd00::1\n    port: 5000", "[fd00::1]:5000"],
    ["endpoint: '::1'", "[::1]"],
  ])("%j is %s", (lines, registry) => {
    expect(read(cluster(lines)).target.registry).toBe(registry);
  });

  test.each([
    ["true", true],
    ["Yes", true],
    ["on", true],
    ["false", false],
    ["no", false],
  ])("`authenticate: %s` is %p", (text, expected) => {
    expect(read(cluster("endpoint: h", `authenticate: ${text}`)).authenticate).toBe(expected);
  });

  test("may come from anchors and merge keys", () => {
    const text = [
      `${HEAD}metadata:`,
      "  annotations:",
      "    mirror: &mirror {endpoint: h, port: 1}",
      "    ecr: &ecr public.ecr.aws",
      "spec:",
      "  registryMirrorConfiguration:",
      "    <<: *mirror",
      "    port: 2",
      "    ociNamespaces: [{registry: *ecr, namespace: a}]",
    ].join("\n");
    const { target } = read(text);
    expect(target).toMatchObject({ registry: "h:2", ociNamespaces: new Map([["public.ecr.aws", "a"]]) });
  });

  test("may stand beside a Cluster that has none", () => {
    expect(read(`${HEAD}spec: {}\n---\n${cluster("endpoint: h")}`).target.registry).toBe("h");
    expect(
      read(`${cluster("endpoint: h")}\n---\napiVersion: cluster.x-k8s.io/v1beta1\nkind: Cluster\n`),
    ).toBeDefined();
  });
});

describe("a mistake in a cluster names the file, the document and the field", () => {
  const M = "spec.registryMirrorConfiguration";
  test.each<[string, string[], string]>([
    ["no endpoint", ["port: 1"], `${M}.endpoint: no value set for RegistryMirrorConfiguration.Endpoint`],
    ["an empty endpoint", ["endpoint: ''"], `${M}.endpoint: no value set`],
    ["a URL", ["endpoint: https://h"], "without scheme, port, path or brackets, found `https://h`"],
    ["a path", ["endpoint: h/eksa"], `${M}.endpoint: expected a host name`],
    ["a port with the host", ["endpoint: h:5000"], `${M}.endpoint: expected a host name`],
    ["brackets", ["endpoint: '[::1]'"], `${M}.endpoint: expected a host name`],
    ["a placeholder", ["endpoint: <private registry IP or hostname>"], `${M}.endpoint: expected a host name`],
    ["a list as the host", ["endpoint: [h]"], "expected a host name or an IP address, found a list"],
    [
      "port 0",
      ["endpoint: h", "port: 0"],
      `${M}.port: registry mirror port 0 is invalid, please provide a valid port (from 1 to 65535)`,
    ],
    ["port 65536", ["endpoint: h", "port: 65536"], `${M}.port: registry mirror port`],
    ["an octal port", ["endpoint: h", "port: 0443"], `${M}.port: registry mirror port`],
    ["a list for a port", ["endpoint: h", "port: [1]"], `${M}.port: expected a port, found a list`],
    ["a port in words", ["endpoint: h", "port: https"], `${M}.port: registry mirror port`],
    [
      "a namespace in capitals",
      ["endpoint: h", "ociNamespaces: [{registry: r.io, namespace: A}]"],
      `${M}.ociNamespaces[0].namespace: expected a lower-case path`,
    ],
    [
      "a namespace that climbs",
      ["endpoint: h", "ociNamespaces: [{registry: r.io, namespace: ../a}]"],
      "namespace: expected",
    ],
    [
      "no registry",
      ["endpoint: h", "ociNamespaces: [{registry: '', namespace: a}]"],
      `${M}.ociNamespaces[0].registry: registry can't be set to empty in OCINamespaces`,
    ],
    [
      "a registry with a scheme",
      ["endpoint: h", "ociNamespaces: [{registry: https://r.io}]"],
      "registry: expected a registry",
    ],
    [
      "a mapping for a list",
      ["endpoint: h", "ociNamespaces: {registry: r.io}"],
      `${M}.ociNamespaces: expected a list`,
    ],
    [
      "a text for a mapping",
      ["endpoint: h", "ociNamespaces: [r.io]"],
      "ociNamespaces[0]: expected a mapping of `registry`, `namespace`",
    ],
    [
      "a misspelt field",
      ["endpoint: h", "ociNamespace: []"],
      `${M}.ociNamespace: expected one of \`endpoint\`, \`port\``,
    ],
    [
      "two mirrors of curated packages",
      [
        "endpoint: h",
        "ociNamespaces:",
        ...["us-west-2", "eu-west-1"].map(
          (region) => `- {registry: 783794618700.dkr.ecr.${region}.amazonaws.com, namespace: a}`,
        ),
      ],
      "ociNamespaces: only one registry mirror for curated packages is suppported",
    ],
    [
      "neither true nor false",
      ["endpoint: h", "authenticate: maybe"],
      `${M}.authenticate: expected \`true\` or \`false\`, found \`maybe\``,
    ],
    [
      "half a certificate",
      ["endpoint: h", "caCertContent: '-----BEGIN CERTIFICATE----- MIIF1DCCA...'"],
      `${M}.caCertContent: expected certificates in PEM form`,
    ],
    [
      "a certificate of nothing",
      ["endpoint: h", "caCertContent: '-----BEGIN CERTIFICATE----- MIIF1DCCA -----END CERTIFICATE-----'"],
      `${M}.caCertContent: expected certificates in PEM form`,
    ],
  ])("%s", async (_, lines, says) => {
    const fault = await faultOf(() => read(`${MACHINES}---\n${cluster(...lines)}\n`));
    expect(fault.message).toStartWith("cannot read document 2 of cluster.yaml as Cluster (anywhere.");
    expect(textOf(fault)).toContain(says);
  });

  test("all mistakes are named at once", async () => {
    const text = textOf(await faultOf(() => read(cluster("endpoint: a b", "port: x"))));
    expect(text).toMatch(/endpoint: expected .*; .*port: registry mirror port x /);
  });

  test.each([
    ["credentials", "endpoint: https://robot:s3cret@h"],
    ["what may be a password", "endpoint: h\n    port: robot:s3cret@h"],
    ["a key", "endpoint: h\n    caCertContent: '-----BEGIN PRIVATE KEY----- s3cret'"],
  ])("but does not show %s", async (_, lines) => {
    expect(textOf(await faultOf(() => read(cluster(lines))))).not.toContain("s3cret");
  });
});

describe("a file without one registry mirror says what it holds instead", () => {
  test.each([
    [
      "other documents",
      `${MACHINES}---\nkind: Cluster\napiVersion: cluster.x-k8s.io/v1beta1\n`,
      "it holds no Cluster (anywhere.eks.amazonaws.com/v1alpha1)\nit holds `VSphereMachineConfig` (`anywhere.eks.amazonaws.com/v1alpha1`), `Cluster` (`cluster.x-k8s.io/v1beta1`)",
    ],
    ["nothing", "# nothing\n", "it holds no document"],
    ["no mapping", "<html>404</html>\n", "it holds `<html>404</html>`"],
    [
      "a Cluster without",
      `${HEAD}metadata: {name: mgmt}\nspec: {}\n`,
      "no `spec.registryMirrorConfiguration` in `mgmt` (document 1 of cluster.yaml)",
    ],
    ["a Cluster with an empty one", cluster(), "no `spec.registryMirrorConfiguration` in `mgmt`"],
    [
      "two of them",
      `${cluster("endpoint: a")}\n---\n${cluster("endpoint: b")}`,
      "several Clusters have a mirror, `mgmt` (document 1 of cluster.yaml), `mgmt` (document 2 of cluster.yaml)",
    ],
  ])("%s", async (_, text, says) => {
    const fault = await faultOf(() => read(text));
    expect(fault.message).toStartWith("cannot take the registry from cluster.yaml: ");
    expect(textOf(fault)).toContain(says);
    expect(fault.hint).toBeDefined();
  });
});

describe("a file that is no good YAML is refused", () => {
  test.each([
    [
      "a syntax error",
      `${MACHINES}---\n${HEAD}spec: [1\nb: c\n`,
      "cannot read document 2 of cluster.yaml as YAML\nline 9: ",
    ],
    ["a mapping that contains itself", `${HEAD}spec: &s\n  a: *s\n`, "line 4: `s` contains itself"],
    ["too deep a nest", `${HEAD}spec: ${"[".repeat(200)}${"]".repeat(200)}\n`, "nested deeper than 64"],
    ["too many documents", "---\n".repeat(1002), "it holds more than 1000 documents"],
  ])("%s", async (_, text, says) => {
    expect(textOf(await faultOf(() => read(text)))).toContain(says);
  });
});

/** A document, and the bytes that EKS Anywhere signs of it. */
interface CanonicalFixture {
  name: string;
  kind: "Bundles" | "Release";
  yaml: string;
  canonical: string;
}

const BUNDLES = "apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: Bundles\n";
const RELEASE = "apiVersion: distro.eks.amazonaws.com/v1alpha1\nkind: Release\n";

/** The names of what is always there, as in most of the canonical forms. */
const EKSD_REST = `"ova":{"bottlerocket":{}},"raw":{"bottlerocket":{}}`;
const EKSD_EMPTY = `{"ami":{"bottlerocket":{}},"containerd":{},"crictl":{},"etcdadm":{},"imagebuilder":{},"kindNode":{},${EKSD_REST}}`;
const AWS_REST = `"kubeProxy":{},"metadata":{},"version":""`;
const BUNDLES_HEAD = `{"apiVersion":"anywhere.eks.amazonaws.com/v1alpha1","kind":"Bundles"`;
const RELEASE_HEAD = `{"apiVersion":"distro.eks.amazonaws.com/v1alpha1","kind":"Release"`;

/**
 * `canonical` is what eks-anywhere's own `getBundleDigest` and `getEKSDistroReleaseDigest` hashed (main at
 * aebd9a062, Go 1.26.8, sigs.k8s.io/yaml v1.6.0, gojq v0.12.17, k8s.io/apimachinery v0.36.2).
 */
export const CANONICAL_FIXTURES: readonly CanonicalFixture[] = [
  {
    name: "the least that there can be",
    kind: "Bundles",
    yaml: `${BUNDLES}spec: {number: 1, versionsBundles: [{kubeVersion: "1.31"}]}\n`,
    canonical: `${BUNDLES_HEAD},"metadata":{},"spec":{"cliMaxVersion":"","cliMinVersion":"","number":1,"versionsBundles":[{"eksD":${EKSD_EMPTY},"kubeVersion":"1.31"}]}}`,
  },
  {
    name: "what somebody wrote by hand",
    kind: "Bundles",
    yaml: String.raw`apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Bundles
metadata:
  name: bundles-7
  namespace: eksa-system
  creationTimestamp: null
  labels: {zone: b, app: 010, "\U0001F600": last, "\uFFFD": middle}
  annotations: {anywhere.eks.amazonaws.com/signature: AAAA}
  finalizers: []
  ownerReferences: [{apiVersion: v1, kind: A, name: b, controller: no}]
  deletionGracePeriodSeconds: 0
spec:
  number: 1e2
  cliMinVersion: ~
  versionsBundles:
  - kubeVersion: 1.30
    endOfStandardSupport: 2026-12-01
    eksD:
      channel: 1-30
      name: <a> & "b"\c
      gitCommit: 0123456
      manifestUrl: https://example.com/a.yaml
      components: https://example.com/b.yaml
      kindNode: {arch: [amd64, ~, 1.50], uri: "tab\tnul\0 two\u2028\u2029"}
      ova: ~
      etcdadm: {arch: [], sha256: ""}
    docker: {version: v1, manager: {uri: a}}
  - ~
  - kubeVersion: "1.31"
    aws: {}
status: {anything: [at, all]}
`,
    canonical: [
      `${BUNDLES_HEAD},"metadata":{"deletionGracePeriodSeconds":0,"labels":{"app":"8","zone":"b","${"\uFFFD"}":"middle","${"\u{1F600}"}":"last"},"name":"bundles-7","ownerReferences":[{"apiVersion":"v1","controller":false,"kind":"A","name":"b","uid":""}]},`,
      String.raw`"spec":{"cliMaxVersion":"","cliMinVersion":"","number":100,"versionsBundles":[{"eksD":{"ami":{"bottlerocket":{}},"channel":"1-30","containerd":{},"crictl":{},"etcdadm":{},"gitCommit":"42798","imagebuilder":{},"kindNode":{"arch":["amd64","","1.5"],"uri":"tab\tnul\u0000 two\u2028\u2029"},`,
      String.raw`"name":"\u003ca\u003e \u0026 \"b\"\\c",${EKSD_REST}},"endOfStandardSupport":"2026-12-01","kubeVersion":"1.3"},{"eksD":${EKSD_EMPTY},"kubeVersion":""},`,
      `{"aws":{"clusterTemplate":{},"components":{},"controller":{},${AWS_REST}},"eksD":${EKSD_EMPTY},"kubeVersion":"1.31"}]}}`,
    ].join(""),
  },
  {
    name: "an empty list, and a number that a float64 does not hold",
    kind: "Bundles",
    yaml: `${BUNDLES}metadata: {ownerReferences: [], labels: {}, deletionGracePeriodSeconds: ~}\nspec: {number: 9007199254740993, cliMaxVersion: yes, versionsBundles: []}\n`,
    canonical: `${BUNDLES_HEAD},"metadata":{},"spec":{"cliMaxVersion":"true","cliMinVersion":"","number":9007199254740992,"versionsBundles":[]}}`,
  },
  {
    name: "a component that was retired, and is signed all the same",
    kind: "Bundles",
    yaml: `${BUNDLES}metadata: ~\nspec: {number: 0, versionsBundles: [{eksD: {raw: {bottlerocket: {arch: ~, os: linux}}}, aws: {controller: {os: linux}}}]}\n`,
    canonical: `${BUNDLES_HEAD},"metadata":{},"spec":{"cliMaxVersion":"","cliMinVersion":"","number":0,"versionsBundles":[{"aws":{"clusterTemplate":{},"components":{},"controller":{"os":"linux"},${AWS_REST}},"eksD":${EKSD_EMPTY.replace('"raw":{"bottlerocket":{}}', '"raw":{"bottlerocket":{"os":"linux"}}')},"kubeVersion":""}]}}`,
  },
  {
    name: "an EKS-D Release",
    kind: "Release",
    yaml: `${RELEASE}metadata: {name: kubernetes-1-28-46, namespace: eksa-system, creationTimestamp: null}\nspec: {channel: 1-28, number: 46}\nstatus: {components: [{name: metrics-server, gitTag: v0.7.2}]}\n`,
    canonical: `${RELEASE_HEAD},"metadata":{"name":"kubernetes-1-28-46"},"spec":{"channel":"1-28","number":46}}`,
  },
  {
    name: "an EKS-D Release without a number",
    kind: "Release",
    yaml: `${RELEASE}spec: {channel: 1.28, number: 0, buildRepoCommit: 1e5}\n`,
    canonical: `${RELEASE_HEAD},"metadata":{},"spec":{"buildRepoCommit":"100000","channel":"1.28"}}`,
  },
];

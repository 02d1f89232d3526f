import { BOOL, INT, list, map, pointer, STRING, struct } from "./canonical-structs.ts";

/**
 * What is signed, field by field as in the Go structs of aws/eks-anywhere (release/api/v1alpha1) and
 * aws/eks-distro-build-tooling (release/api/v1alpha1). `unsigned` are `AlwaysExcludedFields` and `Excludes`
 * of eks-anywhere's pkg/constants/constants.go: a verifier goes by these, not by the annotation beside them.
 */

/** In any version of k8s.io/apimachinery so far; a `deletionTimestamp` is nothing that is published. */
const OBJECT_META = struct({
  omitEmpty: {
    name: STRING,
    generateName: STRING,
    selfLink: STRING,
    deletionGracePeriodSeconds: pointer(INT),
    labels: map(STRING),
    ownerReferences: list(
      struct({
        always: { apiVersion: STRING, kind: STRING, name: STRING, uid: STRING },
        omitEmpty: { controller: pointer(BOOL), blockOwnerDeletion: pointer(BOOL) },
      }),
    ),
    finalizers: list(STRING),
  },
  unsigned: [
    "creationTimestamp",
    "annotations",
    "generation",
    "managedFields",
    "uid",
    "resourceVersion",
    "namespace",
  ],
});

const FILE = {
  name: STRING,
  description: STRING,
  os: STRING,
  osName: STRING,
  arch: list(STRING),
  uri: STRING,
};
const IMAGE = struct({ omitEmpty: { ...FILE, imageDigest: STRING } });
const ARCHIVE = struct({ omitEmpty: { ...FILE, sha512: STRING, sha256: STRING } });
const MANIFEST = struct({ omitEmpty: { uri: STRING } });
const OS_IMAGE = struct({ always: { bottlerocket: ARCHIVE } });

const EKSD = struct({
  always: {
    kindNode: IMAGE,
    ami: OS_IMAGE,
    ova: OS_IMAGE,
    raw: OS_IMAGE,
    etcdadm: ARCHIVE,
    crictl: ARCHIVE,
    imagebuilder: ARCHIVE,
    containerd: ARCHIVE,
  },
  omitEmpty: { name: STRING, channel: STRING, kubeVersion: STRING, gitCommit: STRING },
  unsigned: ["components", "manifestUrl"],
});

const AWS = struct({
  always: {
    version: STRING,
    controller: IMAGE,
    kubeProxy: IMAGE,
    components: MANIFEST,
    clusterTemplate: MANIFEST,
    metadata: MANIFEST,
  },
});

const VERSIONS_BUNDLE = struct({
  always: { kubeVersion: STRING, eksD: EKSD },
  // A component of old that nobody thought of when the others were excluded.
  omitEmpty: { endOfStandardSupport: STRING, aws: pointer(AWS) },
  unsigned: [
    "bootstrap",
    "bottlerocketBootstrapContainers",
    "bottlerocketHostContainers",
    "certManager",
    "cilium",
    "cloudStack",
    "clusterAPI",
    "controlPlane",
    "docker",
    "eksa",
    "etcdadmBootstrap",
    "etcdadmController",
    "flux",
    "haproxy",
    "kindnetd",
    "nutanix",
    "packageController",
    "snow",
    "tinkerbell",
    "upgrader",
    "vSphere",
  ],
});

const TYPE_META = { apiVersion: STRING, kind: STRING };

export const SIGNED_BUNDLES = struct({
  always: {
    metadata: OBJECT_META,
    spec: struct({
      always: {
        number: INT,
        cliMinVersion: STRING,
        cliMaxVersion: STRING,
        versionsBundles: list(VERSIONS_BUNDLE),
      },
    }),
  },
  omitEmpty: TYPE_META,
  unsigned: ["status"],
});

export const SIGNED_EKSD_RELEASE = struct({
  always: {
    metadata: OBJECT_META,
    spec: struct({ omitEmpty: { channel: STRING, number: INT, buildRepoCommit: STRING } }),
  },
  omitEmpty: TYPE_META,
  unsigned: ["status"],
});

import { type BundlesAuthor, basename, type Fields, toYaml } from "./bundles-author.ts";

/** Every component of a versionsBundle but its scalars. */
export function componentsOf(author: BundlesAuthor, version: string): Fields {
  return {
    ...clusterApi(author),
    ...providers(author, version),
    ...addons(author),
    ...operatingSystem(author, version),
    eksD: eksD(author, version),
    tinkerbell: tinkerbell(author),
  };
}

function clusterApi(author: BundlesAuthor): Fields {
  const core = "kubernetes-sigs/cluster-api";
  const component = (folder: string, image: string, file: string, version = "v1.13.2"): Fields => ({
    components: author.manifest(`${folder}/${version}/${file}`),
    controller: author.image(`${image}:${version}-eks-a-1`),
    kubeProxy: author.image("brancz/kube-rbac-proxy:v0.20.2-eks-a-1"),
    metadata: author.manifest(`${folder}/${version}/metadata.yaml`),
    version: `${version}+abcdef1`,
  });
  const manifests = "cluster-api/manifests";
  return {
    bootstrap: component(
      `${manifests}/bootstrap-kubeadm`,
      `${core}/kubeadm-bootstrap-controller`,
      "bootstrap-components.yaml",
    ),
    clusterAPI: component(
      `${manifests}/cluster-api`,
      `${core}/cluster-api-controller`,
      "core-components.yaml",
    ),
    controlPlane: component(
      `${manifests}/control-plane-kubeadm`,
      `${core}/kubeadm-control-plane-controller`,
      "control-plane-components.yaml",
    ),
    etcdadmBootstrap: component(
      "etcdadm-bootstrap-provider/manifests/bootstrap-etcdadm-bootstrap",
      "aws/etcdadm-bootstrap-provider",
      "bootstrap-components.yaml",
      "v1.0.22",
    ),
    etcdadmController: component(
      "etcdadm-controller/manifests/bootstrap-etcdadm-controller",
      "aws/etcdadm-controller",
      "bootstrap-components.yaml",
      "v1.0.28",
    ),
  };
}

function providers(author: BundlesAuthor, version: string): Fields {
  const kubeProxy = () => author.image("brancz/kube-rbac-proxy:v0.20.2-eks-a-1");
  const kubeVip = () => author.image("kube-vip/kube-vip:v1.2.0-eks-a-1");
  const capi = "kubernetes-sigs/cluster-api";
  const placeholder = (name: string): Fields => ({ name, uri: "<placeholder>" });
  return {
    cloudStack: {
      clusterAPIController: placeholder("cluster-api-provider-cloudstack"),
      components: { uri: "<placeholder>" },
      kubeRbacProxy: placeholder("kube-rbac-proxy"),
      kubeVip: placeholder("kube-vip"),
      metadata: { uri: "<placeholder>" },
      version: "deprecated",
    },
    docker: {
      ...providerManifests(author, "cluster-api/manifests/infrastructure-docker/v1.13.2", "-development"),
      kubeProxy: kubeProxy(),
      manager: author.image(`${capi}/capd-manager:v1.13.2-eks-a-1`),
    },
    nutanix: {
      ...providerManifests(author, "cluster-api-provider-nutanix/manifests/infrastructure-nutanix/v1.6.1"),
      cloudProvider: author.image("nutanix-cloud-native/cloud-provider-nutanix/controller:v0.6.1-eks-a-1"),
      clusterAPIController: author.image("nutanix-cloud-native/cluster-api-provider-nutanix:v1.6.1-eks-a-1"),
      kubeVip: kubeVip(),
    },
    snow: {
      components: author.manifest("capas/infrastructure-snow/v0.3.3/infrastructure-components.yaml"),
      metadata: author.manifest("capas/infrastructure-snow/v0.3.3/metadata.yaml"),
      bottlerocketBootstrapSnow: author.image(`bottlerocket-bootstrap-snow:v${dashed(version)}-58-eks-a-1`),
      kubeVip: kubeVip(),
      manager: author.image("aws/cluster-api-provider-aws-snow/manager:v0.3.3-eks-a-1"),
    },
    vSphere: {
      ...providerManifests(author, "cluster-api-provider-vsphere/manifests/infrastructure-vsphere/v1.16.1"),
      clusterAPIController: author.image(`${capi}-provider-vsphere/release/manager:v1.16.1-eks-a-1`),
      kubeProxy: kubeProxy(),
      kubeVip: kubeVip(),
      manager: author.image(`kubernetes/cloud-provider-vsphere/cpi/manager:v${version}.2-eks-a-1`),
    },
  };
}

function providerManifests(author: BundlesAuthor, folder: string, flavour = ""): Fields {
  return {
    clusterTemplate: author.manifest(`${folder}/cluster-template${flavour}.yaml`),
    components: author.manifest(`${folder}/infrastructure-components${flavour}.yaml`),
    metadata: author.manifest(`${folder}/metadata.yaml`),
    version: "v1.0.0+abcdef1",
  };
}

function addons(author: BundlesAuthor): Fields {
  const images = (names: Record<string, string>): Fields =>
    Object.fromEntries(Object.entries(names).map(([key, path]) => [key, author.image(path)]));
  const certManager = (name: string) => `cert-manager/cert-manager-${name}:v1.20.2-eks-a-1`;
  return {
    certManager: {
      ...images({
        acmesolver: certManager("acmesolver"),
        cainjector: certManager("cainjector"),
        controller: certManager("controller"),
        startupapicheck: certManager("startupapicheck"),
        webhook: certManager("webhook"),
      }),
      manifest: author.manifest("cert-manager/manifests/v1.20.2/cert-manager.yaml"),
    },
    // The image and the chart share a repository.
    cilium: {
      cilium: author.image("/eks/cilium/cilium:v1.19.4-1"),
      helmChart: author.chart("/eks/cilium/cilium:1.19.4-1"),
      operator: author.image("/eks/cilium/operator-generic:v1.19.4-1"),
    },
    eksa: {
      ...images({
        cliTools: "eks-anywhere-cli-tools:v0.26.0-eks-a-1",
        clusterController: "eks-anywhere-cluster-controller:v0.26.0-eks-a-1",
        diagnosticCollector: "eks-anywhere-diagnostic-collector:v0.26.0-eks-a-1",
      }),
      components: author.manifest("eks-anywhere/manifests/cluster-controller/v0.26.0/eksa-components.yaml"),
    },
    flux: images({
      helmController: "fluxcd/helm-controller:v1.6.0-eks-a-1",
      kustomizeController: "fluxcd/kustomize-controller:v1.9.0-eks-a-1",
      notificationController: "fluxcd/notification-controller:v1.9.0-eks-a-1",
      sourceController: "fluxcd/source-controller:v1.9.0-eks-a-1",
    }),
    haproxy: { image: author.image("kubernetes-sigs/kind/haproxy:v0.32.0-eks-a-1") },
    kindnetd: { manifest: author.manifest("kind/manifests/kindnetd/v0.32.0/kindnetd.yaml") },
    packageController: {
      ...images({
        credentialProviderPackage: "credential-provider-package:v0.4.17-eks-a-1",
        packageController: "eks-anywhere-packages:v0.4.17-eks-a-1",
        tokenRefresher: "ecr-token-refresher:v0.4.17-eks-a-1",
      }),
      helmChart: author.chart("eks-anywhere-packages:0.4.17-eks-a-1"),
    },
  };
}

function operatingSystem(author: BundlesAuthor, version: string): Fields {
  const tag = `v${dashed(version)}-58-eks-a-1`;
  return {
    bottlerocketBootstrapContainers: {
      multiNetworkBootstrap: author.image(`bottlerocket-bootstrap-multi-network:${tag}`),
    },
    bottlerocketHostContainers: {
      admin: author.image("/bottlerocket/bottlerocket-admin:v0.21.1"),
      control: author.image("/bottlerocket/bottlerocket-control:v0.21.1"),
      kubeadmBootstrap: author.image(`bottlerocket-bootstrap:${tag}`),
    },
    upgrader: { upgrader: author.image(`aws/upgrader:${tag}`) },
  };
}

function tinkerbell(author: BundlesAuthor): Fields {
  const action = (name: string) => author.image(`tinkerbell/actions/${name}:66e4fc9-eks-a-1`);
  const hook = (file: string) => author.bareArchive(`hook/47a9d42/${file}`);
  return {
    ...providerManifests(
      author,
      "cluster-api-provider-tinkerbell/manifests/infrastructure-tinkerbell/v0.6.6",
    ),
    clusterAPIController: author.image("tinkerbell/cluster-api-provider-tinkerbell:v0.6.6-eks-a-1"),
    envoy: author.image("envoyproxy/envoy:v1.22.2.0-prod-eks-a-1"),
    kubeVip: author.image("kube-vip/kube-vip:v1.2.0-eks-a-1"),
    tinkerbellStack: {
      actions: {
        cexec: action("cexec"),
        imageToDisk: action("image2disk"),
        kexec: action("kexec"),
        ociToDisk: action("oci2disk"),
        reboot: action("reboot"),
        writeFile: action("writefile"),
      },
      boots: author.image("tinkerbell/tinkerbell/tinkerbell:cc10c6f-eks-a-1"),
      hook: {
        bootkit: author.image("tinkerbell/hook-bootkit:47a9d42-eks-a-1"),
        docker: author.image("tinkerbell/hook-docker:47a9d42-eks-a-1"),
        initramfs: { amd: hook("initramfs-x86_64"), arm: hook("initramfs-aarch64") },
        iso: { amd: hook("hook-x86_64-efi-initrd.iso"), arm: hook("hook-aarch64-efi-initrd.iso") },
        kernel: author.image("tinkerbell/hook-kernel:47a9d42-eks-a-1"),
        vmlinuz: { amd: hook("vmlinuz-x86_64"), arm: hook("vmlinuz-aarch64") },
      },
      stack: author.chart("tinkerbell/tinkerbell/tinkerbell-helm:0.0.1-cc10c6f-eks-a-1"),
      tink: { tinkRelayInit: author.image("tinkerbell/tink/tink-relay-init:v0.12.2-eks-a-1") },
      tinkerbellChart: author.chart("tinkerbell/tinkerbell-chart:0.2.7-eks-a-1"),
      tinkerbellCrds: author.chart("tinkerbell/tinkerbell-crds:0.22.1-eks-a-1"),
    },
  };
}

/** Archives, one of them with an empty URI, and two manifests as plain strings. */
function eksD(author: BundlesAuthor, version: string): Fields {
  const dash = dashed(version);
  const name = `kubernetes-${dash}-eks-58`;
  const tarball = (folder: string) => author.archive(`${folder}/${basename(folder)}-linux-amd64.tar.gz`);
  const crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n";
  return {
    ami: { bottlerocket: {} },
    channel: dash,
    components: author.distro("crds/releases.distro.eks.amazonaws.com-v1alpha1.yaml", crd),
    containerd: tarball(`${dash}/containerd`),
    crictl: tarball("cri-tools"),
    etcdadm: tarball("etcdadm"),
    imagebuilder: tarball("image-builder"),
    kindNode: author.image(`kubernetes-sigs/kind/node:v${version}.14-eks-d-${dash}-58-eks-a-1`),
    kubeVersion: `v${version}.14`,
    manifestUrl: author.distro(`kubernetes-${dash}/${name}.yaml`, eksdRelease(author, dash, name)),
    name,
    ova: { bottlerocket: author.archive(`eks-distro/ova/${dash}/bottlerocket-${dash}-amd64.ova`) },
    raw: { bottlerocket: { uri: "" } },
  };
}

const EKSD_IMAGES = [
  "coredns/coredns",
  "etcd-io/etcd",
  "kubernetes/kube-apiserver",
  "kubernetes/kube-controller-manager",
  "kubernetes/kube-proxy",
  "kubernetes/kube-scheduler",
  "kubernetes/pause",
  "kubernetes-csi/external-attacher",
  "kubernetes-csi/external-provisioner",
  "kubernetes-csi/external-resizer",
  "kubernetes-csi/external-snapshotter/csi-snapshotter",
  "kubernetes-csi/external-snapshotter/snapshot-controller",
  "kubernetes-csi/external-snapshotter/snapshot-validation-webhook",
  "kubernetes-csi/livenessprobe",
  "kubernetes-csi/node-driver-registrar",
  "kubernetes-sigs/aws-iam-authenticator",
  "kubernetes-sigs/metrics-server",
];

/** Names its images by tag alone, as EKS-D does. */
function eksdRelease(author: BundlesAuthor, channel: string, name: string): string {
  const images = EKSD_IMAGES.map((path) => {
    const { uri } = author.image(`/eks-distro/${path}:v1-eks-${channel}-58`);
    const asset = {
      arch: ["amd64", "arm64"],
      image: { uri },
      name: `${basename(path)}-image`,
      type: "Image",
    };
    return { assets: [asset], gitTag: "v1", name: basename(path) };
  });
  const etcd = { archive: author.archive(`etcd/etcd-linux-amd64-${channel}.tar.gz`), type: "Archive" };
  return toYaml({
    apiVersion: "distro.eks.amazonaws.com/v1alpha1",
    kind: "Release",
    metadata: { name },
    spec: { channel, number: 58 },
    status: { components: [...images, { assets: [etcd], gitTag: "v1", name: "etcd" }] },
  });
}

function dashed(version: string): string {
  return version.replace(".", "-");
}

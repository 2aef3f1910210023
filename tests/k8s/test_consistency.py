"""What one manifest says of another: selectors, ports, names, times, sizes."""

import re
import unittest

import yaml

from manifests import ROOT, Manifests

OVERLAYS = ("dev", "production")
GIB = 1 << 30


def quantity(text):
    number, unit = re.fullmatch(r"(\d+)(Ki|Mi|Gi|)", str(text)).groups()
    return int(number) << {"": 0, "Ki": 10, "Mi": 20, "Gi": 30}[unit]


def config_of(manifests):
    return yaml.safe_load(manifests.one("ConfigMap", "herald-config")["data"]["herald.yaml"])


class ConsistencyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.overlays = {name: Manifests(f"overlays/{name}") for name in OVERLAYS}
        cls.production = cls.overlays["production"]

    def matching(self, manifests, labels):
        return [pod for pod in manifests.pods() if labels.items() <= pod.labels.items()]

    def test_services_lead_to_ports_of_pods(self):
        for overlay, manifests in self.overlays.items():
            for service in manifests.all("Service"):
                with self.subTest(overlay, service=service["metadata"]["name"]):
                    (pod,) = self.matching(manifests, service["spec"]["selector"])
                    for port in service["spec"]["ports"]:
                        pod.port(port["targetPort"])

    def test_selectors_of_workloads_match_their_templates_and_no_others(self):
        for overlay, manifests in self.overlays.items():
            for workload in manifests.workloads():
                with self.subTest(overlay, workload=workload["metadata"]["name"]):
                    (pod,) = self.matching(manifests, workload["spec"]["selector"]["matchLabels"])
                    self.assertEqual(pod.spec, workload["spec"]["template"]["spec"])

    def test_budgets_spread_and_autoscaler_mean_the_pods(self):
        for budget in self.production.all("PodDisruptionBudget"):
            (pod,) = self.matching(self.production, budget["spec"]["selector"]["matchLabels"])
            self.assertEqual(pod.container["name"], budget["metadata"]["name"])
            self.assertEqual(budget["spec"]["maxUnavailable"], 1)
        for pod in self.production.pods():
            keys = set()
            for constraint in pod.spec["topologySpreadConstraints"]:
                self.assertLessEqual(constraint["labelSelector"]["matchLabels"].items(), pod.labels.items())
                keys.add(constraint["topologyKey"])
            self.assertEqual(keys, {"kubernetes.io/hostname", "topology.kubernetes.io/zone"})
        autoscaler = self.production.one("HorizontalPodAutoscaler", "herald")["spec"]
        self.assertEqual(autoscaler["scaleTargetRef"], {"apiVersion": "apps/v1", "kind": "Deployment", "name": "herald"})
        self.assertEqual(autoscaler["minReplicas"], 3)
        self.assertNotIn("replicas", self.production.one("Deployment", "herald")["spec"])
        # What one of three leaves behind fits into the others.
        sessions = int(autoscaler["metrics"][0]["pods"]["target"]["averageValue"])
        self.assertLessEqual(sessions * 3, config_of(self.production)["max_sessions"] * 2)

    def test_network_policies_name_pods_and_their_ports(self):
        policies = {policy["metadata"]["name"]: policy["spec"] for policy in self.production.all("NetworkPolicy")}
        self.assertEqual(policies["default-deny"], {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
        for name in ("herald", "nats"):
            (pod,) = self.matching(self.production, policies[name]["podSelector"]["matchLabels"])
            for rule in policies[name]["ingress"]:
                for port in rule["ports"]:
                    pod.port(port["port"])
            for rule in policies[name]["egress"]:
                for peer in rule["to"]:
                    if "namespaceSelector" in peer:
                        continue  # test_f2_dns_is_asked_in_kube_system_only
                    (target,) = self.matching(self.production, peer["podSelector"]["matchLabels"])
                    for port in rule["ports"]:
                        self.assertIn(port["port"], [each["containerPort"] for each in target.container["ports"]])

    def test_f2_dns_is_asked_in_kube_system_only(self):
        for policy in self.production.all("NetworkPolicy"):
            for rule in policy["spec"].get("egress", []):
                self.assertTrue(rule.get("to"), f"{policy['metadata']['name']}: egress to anywhere")
                if 53 in [port["port"] for port in rule["ports"]]:
                    (peer,) = rule["to"]
                    self.assertEqual(peer["namespaceSelector"]["matchLabels"], {"kubernetes.io/metadata.name": "kube-system"})
                    self.assertEqual(peer["podSelector"]["matchLabels"], {"k8s-app": "kube-dns"})

    def test_f2_the_rolling_update_names_its_type(self):
        for manifests in self.overlays.values():
            strategy = manifests.one("Deployment", "herald")["spec"]["strategy"]
            self.assertIn("type", strategy)
            self.assertEqual("rollingUpdate" in strategy, strategy["type"] == "RollingUpdate")

    def test_f2_no_token_in_the_arguments_of_kubectl_exec(self):
        pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", *(ROOT / "k8s").rglob("*.yaml"), *(ROOT / "examples").rglob("*.md")]
        for page in pages:
            for command in re.findall(r"kubectl[^\n`]*\bexec\b(?:[^\n`]*\\\n)*[^\n`]*", page.read_text()):
                self.assertNotRegex(command, r"--token[ =]|HERALD_TOKEN=", f"{page}: {command}")

    def test_f2_images_can_be_pinned_in_one_place(self):
        production = yaml.safe_load((ROOT / "k8s/overlays/production/kustomization.yaml").read_text())
        used = {pod.container["image"].rpartition("/")[2].partition(":")[0] for pod in self.production.pods()}
        self.assertEqual({image["name"] for image in production["images"]}, used)
        dockerfile = (ROOT / "Dockerfile").read_text()
        for line in re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE):
            self.assertIn(line, ("scratch", "${BASE_IMAGE}"))

    def test_ingress_and_monitor_lead_to_services(self):
        for rule in self.production.one("Ingress", "herald")["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                ports = self.production.one("Service", backend["name"])["spec"]["ports"]
                self.assertIn(backend["port"]["name"], [port["name"] for port in ports])
        monitor = self.production.one("ServiceMonitor", "herald")["spec"]
        (service,) = [service for service in self.production.all("Service")
                      if monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()]
        for endpoint in monitor["endpoints"]:
            self.assertIn(endpoint["port"], [port["name"] for port in service["spec"]["ports"]])

    def test_producers_get_all_replicas(self):
        for manifests in self.overlays.values():
            self.assertEqual(manifests.one("Service", "herald-grpc")["spec"]["clusterIP"], "None")

    def test_the_drain_ends_before_the_pod_is_killed(self):
        for overlay, manifests in self.overlays.items():
            with self.subTest(overlay):
                pod = manifests.pod("Deployment", "herald")
                before = pod.container["lifecycle"]["preStop"]["sleep"]["seconds"]
                self.assertGreaterEqual(before, 5)
                # 15 s are for the last sockets and results after the waves.
                self.assertLessEqual(before + config_of(manifests)["drain_seconds"] + 15, pod.spec["terminationGracePeriodSeconds"])
        nats = self.production.pod("StatefulSet", "nats")
        conf = self.production.one("ConfigMap", "nats-config")["data"]["nats.conf"]
        lame = sum(int(seconds) for seconds in re.findall(r'lame_duck_\w+: "(\d+)s"', conf))
        self.assertGreater(lame, 0)
        self.assertLess(lame, nats.spec["terminationGracePeriodSeconds"])

    def test_nats_names(self):
        config = config_of(self.production)
        service = self.production.one("Service", "nats")
        client_port = service["spec"]["ports"][0]["port"]
        for url in config["nats_url"].split(","):
            self.assertEqual(url, f"nats://{service['metadata']['name']}:{client_port}")
        stateful_set = self.production.one("StatefulSet", "nats")["spec"]
        headless = self.production.one("Service", stateful_set["serviceName"])["spec"]
        self.assertEqual(headless["clusterIP"], "None")
        self.assertTrue(headless["publishNotReadyAddresses"])
        self.assertEqual(config["nats_replicas"], stateful_set["replicas"])
        pod = self.production.pod("StatefulSet", "nats")
        routes = [entry["value"] for entry in pod.container["env"] if entry["name"].startswith("NATS_ROUTE_") and "value" in entry]
        self.assertEqual(
            [route.partition("@")[2] for route in routes],
            [f"nats-{i}.{stateful_set['serviceName']}:{pod.port('routes')}" for i in range(stateful_set["replicas"])])

    def test_nats_stores_less_than_its_volume(self):
        conf = self.production.one("ConfigMap", "nats-config")["data"]["nats.conf"]
        (claim,) = self.production.one("StatefulSet", "nats")["spec"]["volumeClaimTemplates"]
        stored = int(re.search(r"max_file_store: (\d+)GB", conf)[1])
        self.assertLess(stored * GIB, quantity(claim["spec"]["resources"]["requests"]["storage"]))
        pod = self.production.pod("StatefulSet", "nats")
        (go_limit,) = [entry["value"] for entry in pod.container["env"] if entry["name"] == "GOMEMLIMIT"]
        self.assertLess(quantity(go_limit.removesuffix("B")), quantity(pod.container["resources"]["limits"]["memory"]))

    def test_memory_suffices_for_what_the_limits_allow(self):
        config = config_of(self.production)
        limit = quantity(self.production.pod("Deployment", "herald").container["resources"]["limits"]["memory"])
        sizes = {name: quantity(config[name].removesuffix("B")) for name in ("max_outbound_bytes_total", "max_history_bytes_total")}
        # 10 KiB a session with the kernel's share, 300 bytes for each of a million idempotency keys, 128 MiB for the rest: see
        # docs/kubernetes.md. Herald admits nobody above nine tenths.
        need = sum(sizes.values()) + config["max_sessions"] * (10 << 10) + 300 * 1_000_000 + (128 << 20)
        self.assertLess(need, 0.9 * limit)
        for alert, share in (("HeraldMemory", 0.8),):
            (rule,) = [rule for group in self.production.one("PrometheusRule", "herald")["spec"]["groups"]
                       for rule in group["rules"] if rule["alert"] == alert]
            self.assertEqual(rule["expr"], f"herald_resident_bytes > {share} * {limit // GIB} * 1024 * 1024 * 1024")

    def test_pods_may_do_nothing_that_they_need_not(self):
        for overlay, manifests in self.overlays.items():
            (namespace,) = manifests.all("Namespace")
            self.assertEqual(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted")
            for thing in manifests.objects:
                if thing["kind"] not in ("Namespace",):
                    self.assertEqual(thing["metadata"]["namespace"], namespace["metadata"]["name"])
            for pod in manifests.pods():
                with self.subTest(overlay, pod=pod.container["name"]):
                    self.assertTrue(pod.spec["securityContext"]["runAsNonRoot"])
                    self.assertGreater(pod.spec["securityContext"]["runAsUser"], 0)
                    self.assertEqual(pod.spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
                    self.assertEqual(pod.container["securityContext"], {
                        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}})
                    self.assertFalse(pod.spec["automountServiceAccountToken"])
                    self.assertFalse(pod.spec["enableServiceLinks"])
                    self.assertIn("memory", pod.container["resources"]["limits"])
                    self.assertIn("memory", pod.container["resources"]["requests"])

    def test_the_image_is_what_the_dockerfile_makes(self):
        dockerfile = (ROOT / "Dockerfile").read_text()
        version = re.search(r"project\(herald VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]
        self.assertEqual(re.search(r"^ARG VERSION=(\S+)", dockerfile, re.MULTILINE)[1], version)
        user = re.search(r"^USER (\d+):(\d+)", dockerfile, re.MULTILINE)
        exposed = {int(port) for port in re.search(r"^EXPOSE (.*)", dockerfile, re.MULTILINE)[1].split()}
        for overlay, manifests in self.overlays.items():
            with self.subTest(overlay):
                pod = manifests.pod("Deployment", "herald")
                self.assertEqual(pod.container["image"].rpartition(":")[2], version)
                self.assertTrue(pod.container["image"].rpartition(":")[0].endswith("herald"))
                context = pod.spec["securityContext"]
                self.assertEqual((int(user[1]), int(user[2])), (context["runAsUser"], context["runAsGroup"]))
                self.assertEqual({port["containerPort"] for port in pod.container["ports"]}, exposed)
                self.assertNotIn("command", pod.container)  # ENTRYPOINT is herald

"""From connect to the end of the configuration, for crowds that come at once."""

from collections import defaultdict

from .bed import Site
from .figures import OURS, Report, percentile
from .load import arrive_together
from .plan import Plan

SCENARIO = "Connect and read everything"


async def measure(report: Report, plan: Plan, site: Site, case: str) -> None:
    """Let crowds of each size come, to each subject in turn."""
    ours = site.subject(OURS).handshake
    report.add(SCENARIO, case, "frames", "", ours=[ours.frames])
    report.add(SCENARIO, case, "answer", "bytes", ours=[ours.size])
    for crowd in plan.crowds:
        p50: defaultdict[str, list[float]] = defaultdict(list)
        last: defaultdict[str, list[float]] = defaultdict(list)
        cpu: defaultdict[str, list[float]] = defaultdict(list)
        for _ in range(plan.rounds):
            for subject in site.for_clients(crowd):
                before = await subject.cpu()
                arrivals = await arrive_together(subject.port, subject.handshake, crowd)
                cpu[subject.name].append((await subject.cpu() - before) * 1e3)
                times = [arrival.seconds * 1e3 for arrival in arrivals]
                p50[subject.name].append(percentile(times, 0.5))
                last[subject.name].append(max(times))
                for arrival in arrivals:
                    arrival.client.close()
        of = f"{case}, {crowd} client{'s' if crowd > 1 else ''}"
        report.add(SCENARIO, of, "median client", "ms", **p50)
        if crowd > 1:
            report.add(SCENARIO, of, "last client", "ms", **last)
            report.add(SCENARIO, of, "server's CPU", "ms", **cpu)

// A Meshtastic app on the published JavaScript client, driven line by line.
//
//   node meshtastic_app.mjs HOST PORT
//
// Reads one JSON command a line from stdin: {"say": TEXT}, {"to": NODE, "say": TEXT}, {"owner": NAME}, {"quit": true}.
// Writes one JSON event a line to stdout: configured, text, done (with the packet's id), failed.
import { createInterface } from "node:readline";
import { MeshDevice, Types } from "@meshtastic/core";
import { TransportNode } from "@meshtastic/transport-node";

const [host, port] = process.argv.slice(2);
const tell = (event, data) => process.stdout.write(`${JSON.stringify({ event, ...data })}\n`);

const device = new MeshDevice(await TransportNode.create(host, Number(port)));
device.log.settings.type = "hidden";

const known = { num: 0, nodes: new Set(), channels: [], configs: [], modules: [], firmware: "" };
device.events.onMyNodeInfo.subscribe((info) => { known.num = info.myNodeNum; });
device.events.onNodeInfoPacket.subscribe((info) => known.nodes.add(info.num));
device.events.onChannelPacket.subscribe((channel) => known.channels.push(channel.settings?.name ?? ""));
device.events.onConfigPacket.subscribe((config) => known.configs.push(config.payloadVariant.case));
device.events.onModuleConfigPacket.subscribe((config) => known.modules.push(config.payloadVariant.case));
device.events.onDeviceMetadataPacket.subscribe((packet) => { known.firmware = packet.data.firmwareVersion; });
device.events.onMessagePacket.subscribe((packet) => tell("text", { text: packet.data, from: packet.from, id: packet.id }));
device.events.onDeviceStatus.subscribe((status) => {
  if (status === Types.DeviceStatusEnum.DeviceConfigured) {
    tell("configured", { ...known, nodes: [...known.nodes] });
  }
});

const answer = (promise) => promise.then((id) => tell("done", { id }), (error) => tell("failed", error));

createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  if (command.say) {
    answer(device.sendText(command.say, command.to ?? "broadcast", true));
  } else if (command.owner) {
    answer(device.setOwner({ $typeName: "meshtastic.User", longName: command.owner, shortName: "JS" }));
  } else {
    process.exit(0);
  }
});

device.configure().catch((error) => tell("failed", { error: String(error) }));

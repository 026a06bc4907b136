// gRPC as Node has it: `serve` answers unary calls with their bytes; `load PORT CONNECTIONS DEPTH` calls it until it is ended, and
// says once a second how many answers have come. Raw bytes in both directions, no protobuf to be encoded.
import grpc from "@grpc/grpc-js";

const [role, port, connections, depth] = process.argv.slice(2);
const bytes = (value) => value;
const echo = {
  path: "/bench/echo",
  requestStream: false,
  responseStream: false,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
};

if (role === "serve") {
  const server = new grpc.Server();
  server.addService({ echo }, { echo: (call, answer) => answer(null, call.request) });
  const insecure = grpc.ServerCredentials.createInsecure();
  server.bindAsync("127.0.0.1:0", insecure, (error, bound) => {
    if (error) throw error;
    console.log(JSON.stringify({ port: bound }));
  });
} else {
  const body = Buffer.alloc(32, "x");
  let answers = 0;
  for (let n = 0; n < Number(connections); n++) {
    const own = { "grpc.use_local_subchannel_pool": 1 };
    const credentials = grpc.credentials.createInsecure();
    const client = new grpc.Client(`127.0.0.1:${port}`, credentials, own);
    const call = () =>
      client.makeUnaryRequest(echo.path, bytes, bytes, body, (error) => {
        if (error) throw error;
        answers++;
        call();
      });
    for (let inFlight = 0; inFlight < Number(depth); inFlight++) call();
  }
  process.on("message", () => process.send(answers));
}

// OpenTelemetry for an application whose LLM calls are billed by `otel-polar serve`. Load it before everything else:
//   node --import ./telemetry.mjs vercel.mjs
import { register } from 'node:module';

import { context, propagation } from '@opentelemetry/api';
import { BaggageSpanProcessor } from '@opentelemetry/baggage-span-processor';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { OpenAIInstrumentation } from '@opentelemetry/instrumentation-openai';
import { defaultResource, detectResources, envDetector, processDetector } from '@opentelemetry/resources';
import { AlwaysOnSampler, BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

// Who pays. Baggage is not part of OTLP, so a member of it is copied to every span, as an attribute of the same name.
const USER_ID = 'userId';

const asJson = process.env.OTEL_EXPORTER_OTLP_PROTOCOL === 'http/json';
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${asJson ? 'http' : 'proto'}`);

const provider = new NodeTracerProvider({
  // envDetector reads OTEL_SERVICE_NAME; the process id tells processes of one service apart.
  resource: defaultResource().merge(detectResources({ detectors: [envDetector, processDetector] })),
  // A span that is not sampled never leaves the process, and its call would never be billed.
  sampler: new AlwaysOnSampler(),
  spanProcessors: [
    new BaggageSpanProcessor((key) => key === USER_ID),
    // What does not fit into the queue is dropped. The endpoint is OTEL_EXPORTER_OTLP_ENDPOINT.
    new BatchSpanProcessor(new OTLPTraceExporter(), { maxQueueSize: 20_000, scheduledDelayMillis: 1_000 }),
  ],
});
// Traces cross services, baggage does not: a stranger's `baggage` header would name who pays, and our users' ids would
// go to every API that is called. Behind your own edge add a W3CBaggagePropagator.
provider.register({ propagator: new W3CTraceContextPropagator() });

// The AI SDK makes its own spans. The openai client is patched as it is imported, if it is imported after this.
register('@opentelemetry/instrumentation/hook.mjs', import.meta.url);
registerInstrumentations({ instrumentations: [new OpenAIInstrumentation()] });

/** Run `fn`; every LLM call in it, however deep, is paid by this user, who must have been authenticated. */
export function billTo(userId, fn) {
  const baggage = propagation.getBaggage(context.active()) ?? propagation.createBaggage();
  return context.with(propagation.setBaggage(context.active(), baggage.setEntry(USER_ID, { value: String(userId) })), fn);
}

/** Send what is in memory. Without it the calls of the last second are never billed. */
export async function shutdown() {
  await provider.shutdown().catch((error) => console.error(`spans were not sent: ${error.message}`));
}

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => shutdown().finally(() => process.exit(0)));
}

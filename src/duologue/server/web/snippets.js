// The request that was just made, as something to paste into a terminal or a program.
export function curl(request) {
  const body = JSON.stringify(request, null, 2).replaceAll("'", "'\\''");
  return [
    `curl ${location.origin}/v1/audio/speech \\`,
    "  -H 'Content-Type: application/json' \\",
    `  -d '${body}' \\`,
    `  -o speech.${request.response_format}`,
  ].join("\n");
}

export function python(request) {
  const { seed, temperature, model, input, voice, response_format, speed } = request;
  const ours = Object.entries({ seed, temperature }).filter(([, value]) => value !== undefined);
  const lines = [
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${location.origin}/v1", api_key="none")`,
    "with client.audio.speech.with_streaming_response.create(",
    `    model=${JSON.stringify(model)},`,
    `    voice=${JSON.stringify(voice)},`,
    `    input=${JSON.stringify(input)},`,
    `    response_format="${response_format}",`,
  ];
  if (speed !== undefined) lines.push(`    speed=${speed},`);
  if (ours.length) lines.push(`    extra_body={${ours.map(([name, value]) => `"${name}": ${value}`).join(", ")}},`);
  return [...lines, ") as response:", `    response.stream_to_file("speech.${response_format}")`].join("\n");
}

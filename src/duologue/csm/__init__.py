"""The Conversational Speech Model: config, frame grid, backbone, depth decoder."""

include $(sort $(wildcard $(BR2_EXTERNAL_POSTERN_PATH)/package/*/*.mk))
